package fb;

import java.io.IOException;
import java.nio.file.*;
import java.util.*;
import org.apache.flink.api.connector.sink2.*;
import org.apache.flink.configuration.*;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.sink.*;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.factories.*;

/**
 * Table connector 'fblatency': drops every row, and counts how long after its due time (the last
 * column, BIGINT, microseconds since the epoch) each one came. Every subtask writes its counts to
 * a file of 'path' when it closes: lines "bucket count", bucket b standing for 1.02^b us.
 */
public class LatencyFactory implements DynamicTableSinkFactory {
    static final ConfigOption<String> PATH = ConfigOptions.key("path").stringType().noDefaultValue();
    static final ConfigOption<Long> SKIP = ConfigOptions.key("skip-seconds").longType().defaultValue(0L);

    public String factoryIdentifier() {
        return "fblatency";
    }

    public Set<ConfigOption<?>> requiredOptions() {
        return Set.of(PATH);
    }

    public Set<ConfigOption<?>> optionalOptions() {
        return Set.of(SKIP);
    }

    public DynamicTableSink createDynamicTableSink(Context c) {
        FactoryUtil.TableFactoryHelper h = FactoryUtil.createTableFactoryHelper(this, c);
        h.validate();
        int fields = c.getCatalogTable().getResolvedSchema().getColumnCount();
        return new Table(new Latency(
                h.getOptions().get(PATH), h.getOptions().get(SKIP) * 1_000_000, fields - 1));
    }

    static class Table implements DynamicTableSink {
        final Latency sink;

        Table(Latency sink) {
            this.sink = sink;
        }

        public ChangelogMode getChangelogMode(ChangelogMode asked) {
            return asked.containsOnly(org.apache.flink.types.RowKind.INSERT)
                    ? asked
                    : ChangelogMode.upsert();
        }

        public SinkRuntimeProvider getSinkRuntimeProvider(Context c) {
            return SinkV2Provider.of(sink);
        }

        public DynamicTableSink copy() {
            return new Table(sink);
        }

        public String asSummaryString() {
            return "fblatency";
        }
    }

    static class Latency implements Sink<RowData> {
        final String path;
        final long skip;
        final int column;

        Latency(String path, long skip, int column) {
            this.path = path;
            this.skip = skip;
            this.column = column;
        }

        public SinkWriter<RowData> createWriter(WriterInitContext c) {
            return new Writer(c.getTaskInfo().getIndexOfThisSubtask());
        }

        class Writer implements SinkWriter<RowData> {
            final long[] counts = new long[1400];
            final int subtask;
            long first;

            Writer(int subtask) {
                this.subtask = subtask;
            }

            public void write(RowData row, Context c) {
                long due = row.getLong(column);
                if (first == 0) first = due;
                if (due < first + skip) return;
                long late = Math.max(GenSource.nowMicros() - due, 1);
                counts[Math.min((int) (Math.log(late) / Math.log(1.02)), counts.length - 1)]++;
            }

            public void flush(boolean end) {}

            public void close() throws IOException {
                StringBuilder b = new StringBuilder();
                for (int i = 0; i < counts.length; i++)
                    if (counts[i] > 0) b.append(i).append(' ').append(counts[i]).append('\n');
                Files.createDirectories(Paths.get(path));
                Files.writeString(Paths.get(path, "subtask-" + subtask), b);
            }
        }
    }
}
