import Foundation

/// Several real nodes on 127.0.0.1, each with its own state directory below one temporary folder.
///
/// Everything is killed and removed by `tearDown`, which `Swarm.with` guarantees.
final class Swarm {
    /// A node of the swarm, running or not.
    final class Node {
        let index: Int
        let name: String
        let state: String
        let port: UInt16
        fileprivate(set) var process: WeftProcess?

        init(index: Int, name: String, state: String, port: UInt16) {
            self.index = index
            self.name = name
            self.state = state
            self.port = port
        }

        var control: ControlSocket { ControlSocket(path: state + "/control.sock") }

        func status() async throws -> StatusView { try await control.get("/v1/status") }
        func peers() async throws -> [PeerView] { try await control.get("/v1/peers", as: PeersView.self).peers }
        func graph() async throws -> GraphView { try await control.get("/v1/graph") }
    }

    let folder: URL
    private(set) var nodes: [Node] = []
    private(set) var ticket = ""

    private init() throws {
        // Short, because a Unix socket's path may have about 100 bytes.
        folder = URL(filePath: "/tmp/weft-test-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(
            at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    }

    /// Makes the first node's identity and swarm, runs the body, and leaves nothing behind.
    static func with(closed: Bool = false, _ body: (Swarm) async throws -> Void) async throws {
        let swarm = try Swarm()
        do {
            try await swarm.create(closed: closed)
            try await body(swarm)
        } catch {
            swarm.printLogs()
            swarm.tearDown()
            throw error
        }
        swarm.tearDown()
    }

    private func create(closed: Bool) async throws {
        let first = addNode()
        let made = try await run(
            [
                "init", "--state", first.state, "--name", first.name, "--swarm", "test", "--listen",
                "127.0.0.1:\(first.port)",
            ] + (closed ? ["--closed"] : []))
        guard made.status == 0 else { throw HarnessError("weft init failed: \(made.errors)") }
        ticket = made.output.trimmingCharacters(in: .whitespacesAndNewlines)
        guard ticket.hasPrefix("weft1") else { throw HarnessError("weft init printed no ticket: \(made.output)") }
    }

    /// Runs a command to its end.
    func run(_ arguments: [String], seconds: Double = 60) async throws -> WeftProcess.Outcome {
        let process = try WeftProcess(arguments, folder: folder, label: arguments.first ?? "weft")
        return try await process.wait(seconds: seconds)
    }

    /// Runs a command with `--json` and decodes what it prints.
    func json<Value: Decodable>(
        _ arguments: [String], as _: Value.Type = Value.self, seconds: Double = 60
    ) async throws -> Value {
        let outcome = try await run(arguments + ["--json"], seconds: seconds)
        guard outcome.status == 0 else {
            throw HarnessError(
                "weft \(arguments.joined(separator: " ")) ended with \(outcome.status): \(outcome.errors)")
        }
        return try JSONDecoder().decode(Value.self, from: Data(outcome.output.utf8))
    }

    /// Adds a node without starting it.
    @discardableResult
    func addNode() -> Node {
        let index = nodes.count
        let name = "node-\(index)"
        let node = Node(
            index: index, name: name, state: folder.appending(path: name).path, port: Ports.free())
        nodes.append(node)
        return node
    }

    /// Starts a node; those after the first join with the ticket unless `joining` is false (restart from the cache).
    func start(_ node: Node, joining: Bool = true, ticket: String? = nil, extra: [String] = []) throws {
        var arguments = ["up", "--state", node.state, "--name", node.name, "--listen", "127.0.0.1:\(node.port)"]
        arguments += ["--no-discovery"]
        if node.index > 0, joining { arguments += ["--join", ticket ?? self.ticket] }
        node.process = try WeftProcess(arguments + extra, folder: folder, label: node.name)
    }

    /// Starts so many nodes one right after the other and waits until each answers on its control socket.
    func start(count: Int) async throws {
        while nodes.count < count { addNode() }
        for node in nodes { try start(node) }
        try await answers(nodes)
    }

    /// Waits until the nodes answer on their control sockets.
    func answers(_ nodes: [Node], seconds: Double = 60) async throws {
        for node in nodes {
            try await Waiting.until("\(node.name) answers", seconds: seconds) {
                guard node.process?.isRunning == true else {
                    throw HarnessError("\(node.name) ended early: \(node.process?.errors ?? "never started")")
                }
                return (try? await node.status()) != nil
            }
        }
    }

    /// Whether each of the nodes sees exactly these as alive.
    func allSee(_ expected: [Node], from observers: [Node]? = nil) async -> Bool {
        let names = Set(expected.map(\.name))
        for node in observers ?? expected {
            guard let peers = try? await node.peers() else { return false }
            guard Set(peers.filter { $0.state == "alive" }.map(\.name)) == names else { return false }
        }
        return true
    }

    /// The first lines of every node's log, for a test that failed.
    func printLogs() {
        for node in nodes {
            guard let process = node.process else { continue }
            // The first lines say what went wrong, also before a crash's long trace.
            let lines = process.errors.split(separator: "\n").prefix(40)
            if !lines.isEmpty { print("--- \(node.name)\n\(lines.joined(separator: "\n"))") }
        }
    }

    private func tearDown() {
        for node in nodes { node.process?.stop() }
        try? FileManager.default.removeItem(at: folder)
    }
}
