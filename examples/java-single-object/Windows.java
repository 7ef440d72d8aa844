import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.avro.Conversions;
import org.apache.avro.Schema;
import org.apache.avro.data.TimeConversions;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.message.BinaryMessageDecoder;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Reads a topic of ticks without a registry, and prints one-minute windows of each bond.
 *
 * Arguments: brokers, topic, schema file to read into, further schema files that wrote ticks.
 */
public class Windows {
    record Tick(String isin, Instant tradedAt, BigDecimal price, long volume, long dayVolume) {}

    record Minute(String isin, Instant start) {}

    public static void main(String[] arguments) throws Exception {
        BinaryMessageDecoder<GenericRecord> decoder = decoder(List.of(arguments).subList(2, arguments.length));
        Map<String, Tick> unique = new HashMap<>(); // by tick_id; in real use keep those of one trade date
        Map<String, Object> settings = Map.of("bootstrap.servers", arguments[0], "auto.offset.reset", "earliest");
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = consumer.partitionsFor(arguments[1]).stream()
                .map(one -> new TopicPartition(one.topic(), one.partition())).toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(one -> consumer.position(one) < ends.get(one))) {
                for (ConsumerRecord<String, byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    GenericRecord tick = decoder.decode(record.value());
                    unique.putIfAbsent(tick.get("tick_id").toString(), read(tick));
                }
            }
        }
        Map<Minute, List<Tick>> windows = new TreeMap<>(Comparator.comparing(Minute::isin).thenComparing(Minute::start));
        for (Tick tick : unique.values()) {
            Minute minute = new Minute(tick.isin(), tick.tradedAt().truncatedTo(ChronoUnit.MINUTES));
            windows.computeIfAbsent(minute, any -> new ArrayList<>()).add(tick);
        }
        windows.forEach(Windows::print);
    }

    /** A decoder knows each writer's schema by the fingerprint that begins a value. */
    static BinaryMessageDecoder<GenericRecord> decoder(List<String> files) throws Exception {
        GenericData data = new GenericData(); // without conversions a decimal is bytes, and a time a number
        data.addLogicalTypeConversion(new Conversions.DecimalConversion());
        data.addLogicalTypeConversion(new TimeConversions.DateConversion());
        data.addLogicalTypeConversion(new TimeConversions.TimestampMillisConversion());
        List<Schema> schemas = new ArrayList<>();
        for (String file : files) {
            schemas.add(new Schema.Parser().parse(Files.readString(Path.of(file))));
        }
        BinaryMessageDecoder<GenericRecord> decoder = new BinaryMessageDecoder<>(data, schemas.get(0));
        schemas.forEach(decoder::addSchema);
        return decoder;
    }

    static Tick read(GenericRecord tick) {
        return new Tick(tick.get("STND_ISCD").toString(), (Instant) tick.get("traded_at"),
            (BigDecimal) tick.get("STCK_PRPR"), (Long) tick.get("CNTG_VOL"), (Long) tick.get("ACML_VOL"));
    }

    static void print(Minute minute, List<Tick> ticks) {
        ticks.sort(Comparator.comparingLong(Tick::dayVolume)); // the order of the trades
        List<BigDecimal> prices = ticks.stream().map(Tick::price).toList();
        BigDecimal notional = ticks.stream().map(one -> one.price().multiply(BigDecimal.valueOf(one.volume())))
            .reduce(BigDecimal.ZERO, BigDecimal::add);
        System.out.println(minute.isin() + "|" + minute.start() + "|" + prices.get(0)
            + "|" + prices.stream().max(Comparator.naturalOrder()).get()
            + "|" + prices.stream().min(Comparator.naturalOrder()).get()
            + "|" + prices.get(prices.size() - 1) + "|" + ticks.stream().mapToLong(Tick::volume).sum()
            + "|" + ticks.size() + "|" + notional);
    }
}
