// Kafka Streams: one processor with a persistent, changelog-backed store; at least once, or exactly once (v2).
// Told as the Python programs are: one JSON object as its only argument. Runs until ended.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Properties;
import java.util.regex.Pattern;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

public final class Peers {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Pattern MPAN = Pattern.compile("[0-9]{13}");

    /** Validates a record, looks its MPAN up, sends it to each holder. */
    static final class Route implements Processor<byte[], byte[], byte[], byte[]> {
        private ProcessorContext<byte[], byte[]> context;
        private KeyValueStore<byte[], byte[]> held;

        @Override
        public void init(ProcessorContext<byte[], byte[]> context) {
            this.context = context;
            held = context.getStateStore("held");
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            JsonNode found = valid(record.value());
            if (found == null) {
                context.forward(record, "dead");
            } else if (found.get("kind").asText().equals("reg")) {
                held.put(record.key(), bytes(found.get("holders").toString()));
            } else {
                byte[] row = held.get(record.key());
                if (row != null) {
                    for (JsonNode holder : read(row)) {
                        context.forward(record.withKey(bytes(holder.asText())), "target");
                    }
                }
            }
        }
    }

    private static JsonNode valid(byte[] raw) {
        JsonNode found = read(raw);
        if (found == null || !found.path("id").isInt() || !MPAN.matcher(found.path("mpan").asText()).matches()) {
            return null;
        }
        return switch (found.path("kind").asText()) {
            case "reg" -> found.path("holders").isEmpty() ? null : found;
            case "use" -> found.path("event").asText().equals("ActivePower") ? found : null;
            default -> null;
        };
    }

    private static JsonNode read(byte[] raw) {
        try {
            return JSON.readTree(raw);
        } catch (IOException error) {
            return null;
        }
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    public static void main(String[] arguments) throws IOException {
        JsonNode job = JSON.readTree(arguments[0]);
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, job.get("name").asText());
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, job.get("bootstrap").asText());
        settings.put(StreamsConfig.STATE_DIR_CONFIG, job.get("directory").asText());
        settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
        settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
        settings.put("consumer.auto.offset.reset", "earliest");
        settings.put("consumer.session.timeout.ms", job.get("session_ms").asText());
        settings.put("producer.compression.type", "lz4");
        if (job.get("exactly_once").asBoolean()) {
            settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        }
        Topology topology = new Topology()
            .addSource("source", job.get("source").asText())
            .addProcessor("route", Route::new, "source")
            .addStateStore(Stores.keyValueStoreBuilder(
                Stores.persistentKeyValueStore("held"), Serdes.ByteArray(), Serdes.ByteArray()), "route")
            .addSink("target", job.get("target").asText(), "route")
            .addSink("dead", job.get("dead").asText(), "route");
        KafkaStreams streams = new KafkaStreams(topology, settings);
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }
}
