package bonds;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.apicurio.registry.serde.avro.AvroSerde;
import java.io.IOException;
import java.io.Reader;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Collectors;
import kis.bond.BondTick;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.GlobalKTable;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.WindowStore;

/** Makes one-minute windows of each bond, beside the bond's state and latest price. */
public class Windows {
    private static final Duration SIZE = Duration.ofMinutes(1);
    /** How much older than its partition's newest tick a tick may be. */
    private static final Duration GRACE = Duration.ofHours(1);
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] arguments) throws Exception {
        Properties settings = new Properties();
        try (Reader file = Files.newBufferedReader(Path.of(arguments[0]))) {
            settings.load(file);
        }
        CountDownLatch failed = new CountDownLatch(1);
        try (KafkaStreams streams = new KafkaStreams(topology(settings), settings)) {
            streams.setStateListener((state, before) -> {
                if (state == KafkaStreams.State.ERROR) {
                    failed.countDown();
                }
            });
            Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
            streams.start();
            failed.await();
        }
        System.exit(1);
    }

    static Topology topology(Properties settings) {
        Serde<String> text = Serdes.String();
        Serde<BondTick> tick = ticks(settings);
        StreamsBuilder builder = new StreamsBuilder();
        // Global tables hold their topics whole, so the status topic may have one partition and other keys.
        GlobalKTable<String, String> status =
            builder.globalTable(settings.getProperty("status.topic"), Consumed.with(text, text));
        GlobalKTable<String, BondTick> latest =
            builder.globalTable(settings.getProperty("latest.topic"), Consumed.with(text, tick));
        builder.addStateStore(Deduplicate.store());
        builder.stream(settings.getProperty("ticks.topic"), Consumed.with(text, tick)
                .withTimestampExtractor((record, before) -> ((BondTick) record.value()).getTradedAt().toEpochMilli()))
            .processValues(Deduplicate::new, Deduplicate.STORE)
            .groupByKey(Grouped.with(text, tick))
            .windowedBy(TimeWindows.ofSizeAndGrace(SIZE, GRACE))
            .aggregate(() -> null, Windows::add,
                Materialized.<String, Window, WindowStore<Bytes, byte[]>>as("windows")
                    .withKeySerde(text).withValueSerde(singleObject()))
            .toStream((bond, window) -> bond.key() + "|" + bond.window().startTime())
            .leftJoin(status, (key, window) -> "instrument/" + window.getIsin(), Windows::withState)
            .leftJoin(latest, (key, window) -> window.getIsin(), Windows::withLatest)
            .to(settings.getProperty("windows.topic"), Produced.with(text, singleObject()));
        return builder.build();
    }

    /** Open and close are the trades with the lowest and highest ACML_VOL; a minute has one trade date. */
    static Window add(String isin, BondTick tick, Window window) {
        BigDecimal price = tick.getSTCKPRPR();
        long place = tick.getACMLVOL();
        BigDecimal notional = price.multiply(BigDecimal.valueOf(tick.getCNTGVOL()));
        if (window == null) {
            Instant start = tick.getTradedAt().truncatedTo(ChronoUnit.MINUTES);
            return new Window(isin, start, price, price, price, price, tick.getCNTGVOL(), 1L, notional,
                place, place, null, null);
        }
        boolean isFirst = place < window.getFirst();
        boolean isLast = place > window.getLast();
        return Window.newBuilder(window)
            .setOpen(isFirst ? price : window.getOpen())
            .setHigh(price.max(window.getHigh()))
            .setLow(price.min(window.getLow()))
            .setClose(isLast ? price : window.getClose())
            .setVolume(window.getVolume() + tick.getCNTGVOL())
            .setTrades(window.getTrades() + 1)
            .setNotional(window.getNotional().add(notional))
            .setFirst(isFirst ? place : window.getFirst())
            .setLast(isLast ? place : window.getLast())
            .build();
    }

    /** A bond without a status record is not wanted by any list. */
    static Window withState(Window window, String status) {
        try {
            String state = status == null ? "UNWANTED" : JSON.readTree(status).get("state").asText();
            return Window.newBuilder(window).setState(state).build();
        } catch (IOException malformed) {
            throw new UncheckedIOException(malformed);
        }
    }

    static Window withLatest(Window window, BondTick latest) {
        return latest == null ? window : Window.newBuilder(window).setLatest(latest.getSTCKPRPR()).build();
    }

    /** A tick names its schema by an id, the registry has the schema, and Avro turns the tick into ours. */
    static Serde<BondTick> ticks(Properties settings) {
        Map<String, String> registry = settings.stringPropertyNames().stream()
            .filter(name -> name.startsWith("apicurio."))
            .collect(Collectors.toMap(name -> name, settings::getProperty));
        Serde<BondTick> serde = new AvroSerde<>();
        serde.configure(registry, false);
        return serde;
    }

    /** Windows need no registry: Avro's single-object encoding names their schema by its fingerprint. */
    static Serde<Window> singleObject() {
        return Serdes.serdeFrom(
            (topic, window) -> {
                try {
                    return window == null ? null : window.toByteBuffer().array();
                } catch (IOException impossible) {
                    throw new UncheckedIOException(impossible);
                }
            },
            (topic, bytes) -> {
                try {
                    return bytes == null ? null : Window.fromByteBuffer(ByteBuffer.wrap(bytes));
                } catch (IOException unreadable) {
                    throw new UncheckedIOException(unreadable);
                }
            });
    }
}
