import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.apache.catalina.tribes.Channel;
import org.apache.catalina.tribes.Member;
import org.apache.catalina.tribes.MembershipListener;
import org.apache.catalina.tribes.group.GroupChannel;
import org.apache.catalina.tribes.group.interceptors.MessageDispatchInterceptor;
import org.apache.catalina.tribes.group.interceptors.TcpFailureDetector;
import org.apache.catalina.tribes.membership.McastService;
import org.apache.catalina.tribes.transport.nio.NioReceiver;

/**
 * Joins a Tribes group when told, and tells who came and went: the counterpart of membership-member.ts. Frequency and
 * drop time are the defaults. Times are milliseconds of the monotonic clock that all processes of a host share.
 */
public final class TribesMembership implements MembershipListener {
  private static final PrintStream OUT = System.out;

  private final GroupChannel channel = new GroupChannel();

  public static void main(String[] args) throws Exception {
    // Whatever a library prints must not be taken for an answer.
    System.setOut(System.err);
    Logger.getLogger("org.apache.catalina").setLevel(Level.SEVERE);
    TribesMembership member = new TribesMembership();
    print("\"op\":\"ready\"");
    member.takeOrders();
    System.exit(0);
  }

  private void takeOrders() throws Exception {
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      Orders order = new Orders(line);
      String op = "\"op\":\"" + order.op + "\"";
      double startedAt = now();
      switch (order.op) {
        case "join":
          join(order.values);
          print(op + ",\"startedAt\":" + startedAt + ",\"endedAt\":" + now());
          break;
        case "leave":
          print(op + ",\"startedAt\":" + startedAt);
          channel.stop(Channel.DEFAULT);
          break;
        case "members":
          print(op + ",\"count\":" + channel.getMembers().length);
          break;
        default:
          print(op + ",\"error\":\"unknown order\"");
      }
    }
  }

  private void join(Map<String, String> order) throws Exception {
    McastService membership = new McastService();
    membership.setAddress("228.0.0.4");
    membership.setPort(Integer.parseInt(order.get("multicastPort")));
    membership.setBind("127.0.0.1");
    membership.setPayload(order.get("name").getBytes(StandardCharsets.UTF_8));
    NioReceiver receiver = new NioReceiver();
    receiver.setAddress("127.0.0.1");
    receiver.setPort(Integer.parseInt(order.get("receiverPort")));
    receiver.setAutoBind(100);
    channel.setMembershipService(membership);
    channel.setChannelReceiver(receiver);
    channel.addInterceptor(new TcpFailureDetector());
    channel.addInterceptor(new MessageDispatchInterceptor());
    channel.addMembershipListener(this);
    channel.start(Channel.DEFAULT);
  }

  @Override
  public void memberAdded(Member member) {
    tell("added", member);
  }

  @Override
  public void memberDisappeared(Member member) {
    tell("disappeared", member);
  }

  private static void tell(String event, Member member) {
    double at = now();
    String name = new String(member.getPayload(), StandardCharsets.UTF_8);
    print("\"told\":{\"event\":\"" + event + "\",\"member\":\"" + name + "\",\"at\":" + at + "}");
  }

  private static double now() {
    return System.nanoTime() / 1_000_000.0;
  }

  private static synchronized void print(String fields) {
    OUT.println("{" + fields + "}");
    OUT.flush();
  }
}
