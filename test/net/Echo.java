// SPDX-License-Identifier: BSD-2-Clause
import java.io.*;
import java.net.*;
import java.net.http.*;
import java.nio.ByteBuffer;
import java.nio.channels.*;
import java.nio.file.*;
import java.security.MessageDigest;
import java.util.*;
import java.util.concurrent.*;

/** What test_inproc_lang.py asks of OpenJDK: streams, channels and HTTP, as server and as client. */
public class Echo {
	private static final int STREAMS = 7020, CHANNELS = 7021, HTTP = 7022;

	/** A thread for each connection. */
	private static void streams() throws IOException {
		ServerSocket listener = new ServerSocket(STREAMS);

		while (true) {
			Socket socket = listener.accept();

			new Thread(() -> {
				try (socket) {
					socket.getInputStream().transferTo(socket.getOutputStream());
				} catch (IOException e) {
					e.printStackTrace();
				}
			}).start();
		}
	}

	/** One thread with a selector. */
	private static void channels() throws IOException {
		Selector selector = Selector.open();
		ServerSocketChannel listener = ServerSocketChannel.open().bind(new InetSocketAddress(CHANNELS));

		listener.configureBlocking(false);
		listener.register(selector, SelectionKey.OP_ACCEPT);
		while (true) {
			selector.select();
			for (SelectionKey key : selector.selectedKeys()) {
				if (key.isAcceptable()) {
					SocketChannel c = listener.accept();

					if (c == null)
						continue;
					c.configureBlocking(false);
					c.register(selector, SelectionKey.OP_READ, ByteBuffer.allocateDirect(1 << 16));
				} else {
					serve((SocketChannel)key.channel(), key, (ByteBuffer)key.attachment());
				}
			}
			selector.selectedKeys().clear();
		}
	}

	private static void serve(SocketChannel c, SelectionKey key, ByteBuffer buffer) throws IOException {
		boolean ended = key.isReadable() && c.read(buffer) < 0;

		buffer.flip();
		c.write(buffer);
		buffer.compact();
		if (ended && buffer.position() == 0)
			c.close();
		else
			key.interestOps((buffer.hasRemaining() && !ended ? SelectionKey.OP_READ : 0)
					| (buffer.position() > 0 ? SelectionKey.OP_WRITE : 0));
	}

	private static void http() throws IOException {
		com.sun.net.httpserver.HttpServer server =
			com.sun.net.httpserver.HttpServer.create(new InetSocketAddress(HTTP), 0);

		server.createContext("/", e -> {
			byte[] body = e.getRequestBody().readAllBytes();

			e.sendResponseHeaders(200, body.length);
			try (OutputStream out = e.getResponseBody()) {
				out.write(body);
			}
		});
		server.start();
	}

	private static boolean askStreams(String host, byte[] data) throws Exception {
		try (Socket socket = new Socket()) {
			socket.connect(new InetSocketAddress(host, STREAMS), 30000);
			socket.setSoTimeout(30000);
			Thread sender = new Thread(() -> {
				try {
					socket.getOutputStream().write(data);
					socket.shutdownOutput();
				} catch (IOException e) {
					e.printStackTrace();
				}
			});
			sender.start();
			boolean good = Arrays.equals(data, socket.getInputStream().readAllBytes());
			sender.join();
			return good;
		}
	}

	/** Sent from a file, which Java leaves to sendfile(). */
	private static boolean askChannels(String host, byte[] data) throws Exception {
		Path path = Files.createTempFile("echo", null);

		Files.write(path, data);
		try (SocketChannel c = SocketChannel.open(new InetSocketAddress(host, CHANNELS));
		     FileChannel file = FileChannel.open(path, StandardOpenOption.DELETE_ON_CLOSE)) {
			Thread sender = new Thread(() -> {
				try {
					for (long at = 0; at < data.length;)
						at += file.transferTo(at, data.length - at, c);
					c.shutdownOutput();
				} catch (IOException e) {
					e.printStackTrace();
				}
			});
			sender.start();
			ByteBuffer got = ByteBuffer.allocate(data.length + 1);
			while (c.read(got) >= 0)
				;
			sender.join();
			return got.flip().equals(ByteBuffer.wrap(data));
		}
	}

	private static boolean askHttp(String host, byte[] data) throws Exception {
		HttpClient client = HttpClient.newHttpClient();
		HttpRequest request = HttpRequest.newBuilder(URI.create("http://" + host + ":" + HTTP + "/"))
			.POST(HttpRequest.BodyPublishers.ofByteArray(data)).build();
		boolean good = true;

		for (int i = 0; i < 5; i++)
			good &= Arrays.equals(data, client.send(request, HttpResponse.BodyHandlers.ofByteArray()).body());
		return good;
	}

	private interface Ask {
		boolean ask(String host, byte[] data) throws Exception;
	}

	private static boolean all(Ask ask, String host, byte[] data) throws Exception {
		ExecutorService pool = Executors.newFixedThreadPool(8);
		List<Future<Boolean>> asked = new ArrayList<>();
		boolean good = true;

		for (int i = 0; i < 16; i++) {
			byte[] part = Arrays.copyOf(data, data.length >> i % 4);
			asked.add(pool.submit(() -> ask.ask(host, part)));
		}
		for (Future<Boolean> f : asked)
			good &= f.get();
		pool.shutdown();
		return good;
	}

	public static void main(String[] args) throws Exception {
		if (args[0].equals("server")) {
			http();
			new Thread(() -> {
				try {
					channels();
				} catch (IOException e) {
					e.printStackTrace();
					System.exit(1);
				}
			}).start();
			streams();
		}
		byte[] data = args[2].repeat(20000).getBytes();
		System.out.println("streams " + all(Echo::askStreams, args[1], data));
		System.out.println("channels " + all(Echo::askChannels, args[1], data));
		System.out.println("http " + all(Echo::askHttp, args[1], data));
		System.exit(0);
	}
}
