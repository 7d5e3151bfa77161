import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.util.List;

/**
 * mongo-java-server on a free port: prints its address, and ends with its standard input.
 *
 * It says that it speaks wire version 8, which today's PyMongo refuses; 13 is that of MongoDB 5.0, which it claims to be.
 */
public class Serve {
    public static void main(String[] args) throws Exception {
        MemoryBackend backend = new MemoryBackend();
        backend.version(new MongoVersion() {
            public List<Integer> getVersionArray() {
                return List.of(5, 0, 0);
            }

            public int getWireVersion() {
                return 13;
            }
        });
        MongoServer server = new MongoServer(backend);
        System.out.println(server.bindAndGetConnectionString());
        System.out.flush();
        while (System.in.read() >= 0) {
        }
        server.shutdownNow();
    }
}
