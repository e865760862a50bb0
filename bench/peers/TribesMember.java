import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.Serializable;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicLong;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.apache.catalina.tribes.ByteMessage;
import org.apache.catalina.tribes.Channel;
import org.apache.catalina.tribes.ChannelListener;
import org.apache.catalina.tribes.Member;
import org.apache.catalina.tribes.group.GroupChannel;
import org.apache.catalina.tribes.group.interceptors.MessageDispatchInterceptor;
import org.apache.catalina.tribes.group.interceptors.TcpFailureDetector;
import org.apache.catalina.tribes.membership.McastService;
import org.apache.catalina.tribes.tipis.AbstractReplicatedMap;
import org.apache.catalina.tribes.tipis.ReplicatedMap;
import org.apache.catalina.tribes.transport.nio.NioReceiver;

/**
 * A member of a Tribes group that takes the orders of the benchmark: the counterpart of replication-member.ts.
 * The channel is what Tomcat's documentation shows for a cluster: McastService, NioReceiver, PooledParallelSender,
 * TcpFailureDetector, MessageDispatchInterceptor, each with its defaults.
 */
public final class TribesMember implements ChannelListener {
  private static final double[] QUANTILES = {0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999, 1};
  private static final int WRITERS_MAX = 256;
  private static final int WAITS_MAX = 200_000;
  private static final long QUIET_MS = 5_000;
  private static final PrintStream OUT = System.out;

  private final GroupChannel channel = new GroupChannel();
  private final CountingMap map;
  private final AtomicLong raw = new AtomicLong();
  private final AtomicLong inversions = new AtomicLong();
  private final AtomicIntegerArray last = new AtomicIntegerArray(WRITERS_MAX);

  public static void main(String[] args) throws Exception {
    // Whatever a library prints must not be taken for an answer.
    System.setOut(System.err);
    Logger.getLogger("org.apache.catalina").setLevel(Level.SEVERE);
    TribesMember member = new TribesMember(Integer.parseInt(args[0]), Integer.parseInt(args[1]));
    member.answer("ready", "");
    member.takeOrders();
    System.exit(0);
  }

  private TribesMember(int multicastPort, int receiverPort) throws Exception {
    McastService membership = new McastService();
    membership.setAddress("228.0.0.4");
    membership.setPort(multicastPort);
    membership.setBind("127.0.0.1");
    membership.setFrequency(500);
    membership.setDropTime(10_000);
    NioReceiver receiver = new NioReceiver();
    receiver.setAddress("127.0.0.1");
    receiver.setPort(receiverPort);
    receiver.setAutoBind(100);
    channel.setMembershipService(membership);
    channel.setChannelReceiver(receiver);
    channel.addInterceptor(new TcpFailureDetector());
    channel.addInterceptor(new MessageDispatchInterceptor());
    channel.addChannelListener(this);
    channel.start(Channel.DEFAULT);
    map = new CountingMap(channel);
  }

  /** The map with a count of the copies that were taken over from others. */
  private static final class CountingMap extends ReplicatedMap<String, byte[]> {
    private static final long serialVersionUID = 1L;
    final transient AtomicLong copies = new AtomicLong();

    CountingMap(Channel channel) {
      super(null, channel, 10_000, "bench", new ClassLoader[] {TribesMember.class.getClassLoader()});
    }

    @Override
    public void messageReceived(Serializable message, Member sender) {
      super.messageReceived(message, sender);
      if (message instanceof MapMessage && ((MapMessage) message).getMsgType() == MapMessage.MSG_COPY && copies != null) {
        copies.incrementAndGet();
      }
    }

    void setOptions(int options) {
      setChannelSendOptions(options);
    }
  }

  @Override
  public boolean accept(Serializable message, Member sender) {
    return message instanceof ByteMessage;
  }

  @Override
  public void messageReceived(Serializable message, Member sender) {
    ByteBuffer bytes = ByteBuffer.wrap(((ByteMessage) message).getMessage());
    int n = bytes.getInt(0);
    int writer = bytes.getInt(4);
    int before = last.getAndUpdate(writer, known -> Math.max(known, n));
    if (n < before) inversions.incrementAndGet();
    raw.incrementAndGet();
  }

  private void takeOrders() throws Exception {
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      Orders order = new Orders(line);
      try {
        answer(order.op, run(order.op, order.values));
      } catch (Exception error) {
        error.printStackTrace();
        answer(order.op, ",\"error\":\"" + error.toString().replaceAll("[^\\w .:-]", " ") + "\"");
      }
    }
  }

  private String run(String op, Map<String, String> order) throws Exception {
    switch (op) {
      case "members":
        awaitMembers(Integer.parseInt(order.get("count")));
        return "";
      case "prepare":
        return "";
      case "begin":
        resetPeak();
        raw.set(0);
        map.copies.set(0);
        inversions.set(0);
        for (int i = 0; i < WRITERS_MAX; i++) last.set(i, 0);
        return "";
      case "write":
        return write(order);
      case "settle":
        return settle(order.get("kind").equals("raw") ? raw : map.copies, Long.parseLong(order.get("count")));
      case "report":
        return ",\"peakMiB\":" + peakMiB();
      default:
        throw new IllegalArgumentException("Unknown order " + op);
    }
  }

  private void awaitMembers(int count) throws Exception {
    long until = System.nanoTime() + 30_000_000_000L;
    while (channel.getMembers().length < count - 1 || map.getMapMembers().length < count - 1) {
      if (System.nanoTime() > until) throw new IllegalStateException("Only " + channel.getMembers().length + " others");
      Thread.sleep(20);
    }
  }

  private String write(Map<String, String> order) throws Exception {
    int writers = Integer.parseInt(order.get("writers"));
    int bytes = Integer.parseInt(order.get("bytes"));
    int options = optionsOf(order.get("ack"));
    boolean isRaw = order.get("kind").equals("raw");
    boolean waits = !order.get("ack").equals("none");
    map.setOptions(options);
    Member[] members = channel.getMembers();
    AtomicLong count = new AtomicLong();
    AtomicInteger failed = new AtomicInteger();
    long[][] waited = new long[writers][];
    long startedAt = System.currentTimeMillis();
    long until = System.nanoTime() + Long.parseLong(order.get("ms")) * 1_000_000L;
    Thread[] threads = new Thread[writers];
    for (int index = 0; index < writers; index++) {
      int writer = index;
      threads[index] = new Thread(() -> {
        long[] mine = new long[WAITS_MAX / writers];
        int n = 0;
        for (long now = System.nanoTime(); now < until; ) {
          n++;
          try {
            if (isRaw) channel.send(members, message(writer, n, bytes), options);
            else map.put("session-" + writer, value(writer, n, bytes));
          } catch (Exception error) {
            failed.incrementAndGet();
          }
          long then = System.nanoTime();
          mine[(n - 1) % mine.length] = then - now;
          now = then;
        }
        count.addAndGet(n);
        waited[writer] = Arrays.copyOf(mine, Math.min(n, mine.length));
      });
      threads[index].start();
    }
    for (Thread thread : threads) thread.join();
    long endedAt = System.currentTimeMillis();
    String quantiles = waits || !isRaw ? quantiles(waited) : "";
    return ",\"startedAt\":" + startedAt + ",\"endedAt\":" + endedAt + ",\"count\":" + count + ",\"short\":" + failed
        + ",\"waits\":[" + quantiles + "]";
  }

  private static int optionsOf(String ack) {
    if (ack.equals("none")) return Channel.SEND_OPTIONS_ASYNCHRONOUS;
    if (ack.equals("received")) return Channel.SEND_OPTIONS_USE_ACK;
    return Channel.SEND_OPTIONS_SYNCHRONIZED_ACK | Channel.SEND_OPTIONS_USE_ACK;
  }

  private static byte[] value(int writer, int n, int bytes) {
    byte[] value = new byte[bytes];
    ByteBuffer.wrap(value).putInt(n).putInt(writer);
    return value;
  }

  private static ByteMessage message(int writer, int n, int bytes) {
    return new ByteMessage(value(writer, n, bytes));
  }

  private String settle(AtomicLong counter, long count) throws Exception {
    long seen = -1;
    for (long quietSince = System.nanoTime(); System.nanoTime() - quietSince < QUIET_MS * 1_000_000L; ) {
      long has = counter.get();
      if (has >= count) break;
      if (has != seen) quietSince = System.nanoTime();
      seen = has;
      Thread.sleep(1);
    }
    return ",\"count\":" + counter + ",\"endedAt\":" + System.currentTimeMillis() + ",\"inversions\":" + inversions;
  }

  private static String quantiles(long[][] waited) {
    long[] sorted = Arrays.stream(waited).flatMapToLong(Arrays::stream).sorted().toArray();
    if (sorted.length == 0) return "";
    StringBuilder text = new StringBuilder();
    for (double p : QUANTILES) {
      int rank = Math.max(0, (int) Math.ceil(p * sorted.length) - 1);
      text.append(text.length() == 0 ? "" : ",").append(Math.round(sorted[rank] / 100.0) / 10_000.0);
    }
    return text.toString();
  }

  private void answer(String op, String more) {
    var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    OUT.println("{\"op\":\"" + op + "\",\"cpuMs\":" + system.getProcessCpuTime() / 1_000_000 + more + "}");
    OUT.flush();
  }

  private static void resetPeak() {
    try {
      Files.writeString(Path.of("/proc/self/clear_refs"), "5");
    } catch (Exception error) {
      // Not Linux, or not allowed: the peak since the start is told.
    }
  }

  private static long peakMiB() throws Exception {
    if (!Files.exists(Path.of("/proc/self/status"))) return 0;
    for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
      if (line.startsWith("VmHWM:")) return Long.parseLong(line.replaceAll("\\D", "")) / 1024;
    }
    return 0;
  }
}
