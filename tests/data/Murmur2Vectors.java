// Prints murmur2.json with the Java client's own hash:
//   java -cp kafka-clients-4.1.0.jar tests/data/Murmur2Vectors.java > tests/data/murmur2.json
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.utils.AppInfoParser;
import org.apache.kafka.common.utils.Utils;

public class Murmur2Vectors {
    public static void main(String[] arguments) {
        List<byte[]> keys = new ArrayList<>();
        for (String text : List.of("", "K", "KR", "KR1", "KR10", "KR103502GD31", "KR103502GA34", "KR1035027D90", "slot/0", "국고채권", "\u0000\u007f")) {
            keys.add(text.getBytes(StandardCharsets.UTF_8));
        }
        Random random = new Random(41);
        for (int length = 1; length <= 40; length++) {
            byte[] key = new byte[length];
            random.nextBytes(key);
            keys.add(key);
        }
        List<String> rows = new ArrayList<>();
        for (byte[] key : keys) {
            rows.add(String.format("    {\"key\": \"%s\", \"murmur2\": %d, \"of_6\": %d, \"of_7\": %d}", HexFormat.of().formatHex(key),
                Utils.murmur2(key), BuiltInPartitioner.partitionForKey(key, 6), BuiltInPartitioner.partitionForKey(key, 7)));
        }
        System.out.printf("{%n  \"source\": \"org.apache.kafka:kafka-clients:%s, Utils.murmur2 (int) and BuiltInPartitioner.partitionForKey; "
            + "tests/data/Murmur2Vectors.java\",%n  \"vectors\": [%n%s%n  ]%n}%n", AppInfoParser.getVersion(), String.join(",\n", rows));
    }
}
