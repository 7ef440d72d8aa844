package bonds;

import java.time.Duration;
import kis.bond.BondTick;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.processor.api.ContextualFixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;

/** Passes each tick on once. Copies of a tick have its tick_id, its traded_at and its partition. */
class Deduplicate extends ContextualFixedKeyProcessor<String, BondTick, BondTick> {
    /** A trade date, and a night. */
    private static final Duration REMEMBERED = Duration.ofHours(36);

    static final String STORE = "seen";

    private WindowStore<String, Integer> seen;

    static StoreBuilder<WindowStore<String, Integer>> store() {
        return Stores.windowStoreBuilder(
            Stores.persistentWindowStore(STORE, REMEMBERED, Duration.ofMillis(1), false),
            Serdes.String(), Serdes.Integer());
    }

    @Override
    public void init(FixedKeyProcessorContext<String, BondTick> context) {
        super.init(context);
        seen = context.getStateStore(STORE);
    }

    @Override
    public void process(FixedKeyRecord<String, BondTick> record) {
        String id = record.value().getTickId();
        if (seen.fetch(id, record.timestamp()) == null) {
            seen.put(id, 1, record.timestamp());
            context().forward(record);
        }
    }
}
