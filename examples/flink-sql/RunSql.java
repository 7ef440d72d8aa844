import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.ResultKind;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;

/** Runs the statements of SQL files one after the other in this process; prints rows joined by `|`. */
public class RunSql {
    private static final Pattern SETTING = Pattern.compile("SET\\s+'([^']+)'\\s*=\\s*'([^']+)'");

    public static void main(String[] files) throws Exception {
        TableEnvironment tables = TableEnvironment.create(EnvironmentSettings.inStreamingMode());
        for (String file : files) {
            String text = Files.readString(Path.of(file)).replaceAll("(?m)^--.*$", "");
            for (String statement : text.split(";\\s*(\\n|$)")) {
                if (!statement.isBlank()) {
                    run(tables, statement.strip());
                }
            }
        }
    }

    private static void run(TableEnvironment tables, String statement) throws Exception {
        Matcher setting = SETTING.matcher(statement);
        if (setting.matches()) {
            tables.getConfig().set(setting.group(1), setting.group(2));
            return;
        }
        TableResult result = tables.executeSql(statement);
        if (result.getResultKind() == ResultKind.SUCCESS) {
            return; // a definition
        }
        if (statement.startsWith("INSERT")) {
            result.await();
            return;
        }
        try (CloseableIterator<Row> rows = result.collect()) {
            while (rows.hasNext()) {
                Row row = rows.next();
                System.out.println(IntStream.range(0, row.getArity())
                    .mapToObj(column -> String.valueOf(row.getField(column)))
                    .collect(Collectors.joining("|")));
            }
        }
    }
}
