import java.util.HashMap;
import java.util.Map;

/** A line `op key=value ...` that a member is told; the counterpart of orders.ts. */
final class Orders {
  final String op;
  final Map<String, String> values = new HashMap<>();

  Orders(String line) {
    String[] words = line.split(" ");
    op = words[0];
    for (int i = 1; i < words.length; i++) {
      String[] pair = words[i].split("=", 2);
      values.put(pair[0], pair[1]);
    }
  }
}
