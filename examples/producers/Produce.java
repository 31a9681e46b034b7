// One command onto the topic, as a CloudEvent in structured form, and its outcome back.
//
//   java -cp 'kafka_2.13-4.1.0/libs/*' Produce.java        (Java 17 or newer; the jars are those of a Kafka download)
//
// ENGRAFT_KAFKA__BROKERS (localhost:9092) and ENGRAFT_KAFKA__TOPIC_PREFIX (none) are the server's own variables.
// The outcome is printed as JSON; what is not committed within half a minute ends the program with 1.

import static java.nio.charset.StandardCharsets.UTF_8;

import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Produce {
    static final String PREFIX = System.getenv().getOrDefault("ENGRAFT_KAFKA__TOPIC_PREFIX", "");
    static final String COMMANDS = PREFIX + "engraft.commands.v1";
    static final String OUTCOMES = PREFIX + "engraft.outcomes.v1";
    static final Map<String, Object> BROKERS = Map.of(
        "bootstrap.servers", System.getenv().getOrDefault("ENGRAFT_KAFKA__BROKERS", "localhost:9092"));

    public static void main(String[] arguments) throws Exception {
        try (var consumer = new KafkaConsumer<>(BROKERS, new StringDeserializer(), new StringDeserializer())) {
            // Where the outcomes end now: the one that is waited for comes after.
            var partitions = consumer.partitionsFor(OUTCOMES).stream()
                .map(found -> new TopicPartition(OUTCOMES, found.partition())).toList();
            var ends = consumer.endOffsets(partitions);

            var sent = send();

            // A command's outcome is in the partition of the same number; its id is where the command stands.
            var partition = new TopicPartition(OUTCOMES, sent.partition());
            consumer.assign(List.of(partition));
            consumer.seek(partition, ends.get(partition));
            var deadline = Instant.now().plusSeconds(30);
            while (Instant.now().isBefore(deadline)) {
                for (var event : consumer.poll(Duration.ofSeconds(1))) {
                    var position = header(event, "ce_id").split("\\.");
                    if (Long.parseLong(position[2]) == sent.offset()) {
                        System.out.println(event.value());
                        System.exit(header(event, "ce_type").equals("engraft.outcome.committed.v1") ? 0 : 1);
                    }
                }
            }
        }
        System.err.println("no outcome came");
        System.exit(1);
    }

    /** Sends the command and returns where it stands. Java's own partitioner is the one that Engraft expects. */
    static RecordMetadata send() throws Exception {
        // Sent again under the same id, it is done once.
        var event = """
            {"specversion":"1.0","type":"engraft.memory.put.v1","id":"%s","source":"/producers/java","space":"acme",
             "data":{"id":"from-java","content":"A record by Java"}}""".formatted(UUID.randomUUID());
        var command = new ProducerRecord<>(COMMANDS, "acme", event); // the key is the space
        command.headers().add("content-type", "application/cloudevents+json".getBytes(UTF_8));
        try (var producer = new KafkaProducer<>(BROKERS, new StringSerializer(), new StringSerializer())) {
            return producer.send(command).get();
        }
    }

    static String header(ConsumerRecord<?, ?> event, String name) {
        return new String(event.headers().lastHeader(name).value(), UTF_8);
    }
}
