// Submits the statements of an SQL file to a running Flink and prints the ids of the jobs.
// Only for `record.py`, see README.md: java -cp FLINK/lib/... SubmitSql.java FILE key=value...

import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;

public class SubmitSql {
    public static void main(String[] args) throws Exception {
        Configuration configuration = new Configuration();
        for (int i = 1; i < args.length; i++) {
            String[] pair = args[i].split("=", 2);
            configuration.setString(pair[0], pair[1]);
        }
        TableEnvironment tables = TableEnvironment.create(
                EnvironmentSettings.newInstance()
                        .inStreamingMode().withConfiguration(configuration).build());
        String text = Files.readString(Path.of(args[0])).replaceAll("(?m)^--.*$", "");
        for (String statement : text.split(";")) {
            if (statement.isBlank()) {
                continue;
            }
            TableResult result = tables.executeSql(statement);
            result.getJobClient().ifPresent(job -> System.out.println("job " + job.getJobID()));
        }
        System.exit(0);
    }
}
