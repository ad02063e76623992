import Control
import Foundation
import NIOCore
import NIOPosix
import Primitives
import Runtime
import Synchronization
import Wire

/// Peers of a demonstration: processes of this same program on this machine.
///
/// None outlives the swarm: each holds the read end of one pipe as its standard input and ends when the pipe does, which
/// happens even if this process is killed.
final class DemoSwarm: Sendable {
    struct Peer: Sendable {
        let name: String
        let state: StateDirectory
        let address: NetworkAddress
        let client: ControlClient
        let process: Process

        var logPath: String { state.path + "/log" }
    }

    /// How long a peer may take to leave before it is killed.
    private static let patience = Duration.seconds(8)
    private static let folderPrefix = "weft-demo-"

    private let started = Mutex<[Peer]>([])
    private let folder: String
    private let pipe: (read: Int32, write: Int32)

    /// In the order of the topology.
    var peers: [Peer] { started.withLock { $0 } }

    /// Makes an empty swarm whose states live in a new folder.
    init() throws {
        Platform.ignoreBrokenPipes()
        // Short, because a socket's path has few bytes.
        let place = NSTemporaryDirectory().trimmingSuffix("/")
        Self.removeRemains(in: place)
        folder = "\(place)/\(Self.folderPrefix)\(Platform.processID)"
        try StateDirectory(path: folder).create()
        pipe = try Platform.privatePipe()
    }

    /// Removes the folders of demonstrations that were killed and could not do it themselves.
    private static func removeRemains(in place: String) {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: place)) ?? [] {
            guard name.hasPrefix(folderPrefix), let process = Int32(name.dropFirst(folderPrefix.count)),
                !Platform.isRunning(process)
            else { continue }
            try? FileManager.default.removeItem(atPath: "\(place)/\(name)")
        }
    }

    /// Starts one process for each peer of the topology, the first as the founder of a new swarm.
    ///
    /// - Parameter flopsPerSecond: what each peer is to say of its speed, since all share this machine.
    func start(_ topology: TopologyFile, flopsPerSecond: Double) async throws {
        let ports = try await Self.freePorts(topology.peers.count)
        var shaped = topology
        for index in shaped.peers.indices { shaped.peers[index].address = "127.0.0.1:\(ports[index])" }
        let topologyPath = folder + "/topology.json"
        try shaped.write(topologyPath)
        let states = topology.peers.indices.map { StateDirectory(path: "\(folder)/p\($0)") }
        let ticket = try Self.found(states[0], at: ports[0])
        for (index, peer) in topology.peers.enumerated() {
            let address = NetworkAddress(ipv4: (127, 0, 0, 1), port: ports[index])
            let flops = peer.gigaflops.map { $0 * 1e9 } ?? flopsPerSecond
            var arguments = [
                "up", "--state", states[index].path, "--listen", address.description, "--name", peer.name, "--topology",
                topologyPath, "--flops", "\(flops)", "--no-discovery", "--exit-with-parent", "--log-level", "info",
            ]
            if let memory = peer.memoryMebibytes { arguments += ["--memory", "\(memory << 20)"] }
            if index > 0 { arguments += ["--join", ticket] }
            let launched = Peer(
                name: peer.name, state: states[index], address: address,
                client: try ControlClient(state: states[index]),
                process: try launch(arguments, state: states[index]))
            started.withLock { $0.append(launched) }
        }
    }

    private func launch(_ arguments: [String], state: StateDirectory) throws -> Process {
        guard let program = Bundle.main.executableURL else {
            throw CommandFailure("cannot find this program's own file to start peers with")
        }
        try state.create()
        let process = Process()
        process.executableURL = program
        process.arguments = arguments
        let logPath = state.path + "/log"
        guard FileManager.default.createFile(atPath: logPath, contents: nil),
            let log = FileHandle(forWritingAtPath: logPath)
        else {
            throw CommandFailure("cannot write \(logPath)")
        }
        process.standardInput = FileHandle(fileDescriptor: pipe.read, closeOnDealloc: false)
        process.standardOutput = log
        process.standardError = log
        do { try process.run() } catch {
            throw CommandFailure("cannot start a peer (\(program.path)): \(error.localizedDescription)")
        }
        return process
    }

    /// Makes the founder's keys and a new swarm; returns the ticket's text.
    private static func found(_ state: StateDirectory, at port: UInt16) throws -> String {
        try state.create()
        let contact = Contact(
            peer: try state.identityKey().peer, agreementKey: try state.agreementKey().publicKey,
            addresses: [NetworkAddress(ipv4: (127, 0, 0, 1), port: port)])
        let ticket = try Ticket(
            swarmName: "demo", secret: SystemEntropy().secretBytes(count: Ticket.secretByteCount), contacts: [contact])
        try state.save(ticket)
        return ticket.text
    }

    /// Ports that are free for UDP and TCP now. Another program could take one before a peer does; then that peer says so.
    private static func freePorts(_ count: Int) async throws -> [UInt16] {
        let group = MultiThreadedEventLoopGroup.singleton
        var channels: [any Channel] = []
        var ports: [UInt16] = []
        var attempts = 0
        while ports.count < count, attempts < count * 20 {
            attempts += 1
            let stream = try await ServerBootstrap(group: group).bind(host: "127.0.0.1", port: 0).get()
            channels.append(stream)
            guard let port = stream.localAddress?.port else { continue }
            if let datagram = try? await DatagramBootstrap(group: group).bind(host: "127.0.0.1", port: port).get() {
                channels.append(datagram)
                ports.append(UInt16(port))
            }
        }
        for channel in channels { try? await channel.close() }
        guard ports.count == count else { throw CommandFailure("cannot find \(count) free ports on this machine") }
        return ports
    }

    /// Throws, with the end of its log, if a peer's process has ended.
    func checkAlive() throws {
        for peer in peers where !peer.process.isRunning {
            throw CommandFailure("\(peer.name) ended unexpectedly. \(lastWords(of: peer))")
        }
    }

    /// The last line that a peer logged.
    func lastWords(of peer: Peer) -> String {
        let text = (try? String(contentsOfFile: peer.logPath, encoding: .utf8)) ?? ""
        let last = text.split(separator: "\n").last.map(String.init)
        return last.map { "Its log ends: \($0)" } ?? "Its log is empty."
    }

    /// Copies the peers' logs to a folder, for whoever wants to know what went wrong.
    func saveLogs(to target: String) {
        try? FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
        for peer in peers {
            let copy = "\(target)/\(peer.name).log"
            try? FileManager.default.removeItem(atPath: copy)
            try? FileManager.default.copyItem(atPath: peer.logPath, toPath: copy)
        }
    }

    /// Ends every process, gently first, and removes the states. Safe to call again.
    func stop() async {
        let peers = peers
        for peer in peers where peer.process.isRunning { Platform.terminate(peer.process.processIdentifier) }
        let clock = ContinuousClock()
        let deadline = clock.now + Self.patience
        while clock.now < deadline, peers.contains(where: { $0.process.isRunning }) {
            // Not a cancellable sleep: stopping is what happens when everything else was cancelled.
            await withCheckedContinuation { continuation in
                DispatchQueue.global().asyncAfter(deadline: .now() + 0.05) { continuation.resume() }
            }
        }
        for peer in peers where peer.process.isRunning { Platform.destroy(peer.process.processIdentifier) }
        for peer in peers { peer.process.waitUntilExit() }
        started.withLock { $0 = [] }
        try? FileManager.default.removeItem(atPath: folder)
    }
}

extension String {
    fileprivate func trimmingSuffix(_ suffix: String) -> String {
        count > suffix.count && hasSuffix(suffix) ? String(dropLast(suffix.count)) : self
    }
}
