internal import Foundation
package import Overlay
package import Primitives
package import Wire

/// Everything a node remembers between two runs, in one directory that only its owner can enter.
///
/// | file | contents |
/// | --- | --- |
/// | `identity.key` | 32-byte seed of the Ed25519 identity |
/// | `agreement.key` | 32-byte X25519 scalar |
/// | `swarm.ticket` | the ticket's text: swarm name, secret, first contacts |
/// | `node.json` | name and addresses (`NodeSettings`) |
/// | `peers.cache` | signed records of peers, for a restart without bootstrap |
/// | `admission.list` | the closed swarm's list, signed by its founder |
/// | `node.lock` | held while a node runs |
/// | `control.sock` | the local API |
/// | `shards/`, `jobs/` | content-addressed files; checkpoints and loss curves |
package struct StateDirectory: Hashable, Sendable {
    /// Absolute path without a slash at its end.
    package let path: String

    /// Nothing is touched until something is loaded or saved.
    package init(path: String) {
        let absolute = path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path
        self.path = URL(filePath: absolute).standardizedFileURL.path(percentEncoded: false).trimmingTrailingSlash
    }

    /// `--state`, else `$WEFT_STATE`, else the platform's usual place.
    package init(option: String?, environment: [String: String] = ProcessInfo.processInfo.environment) {
        let home = environment["HOME"] ?? FileManager.default.homeDirectoryForCurrentUser.path
        #if os(macOS)
            let usual = home + "/Library/Application Support/weft"
        #else
            let usual = (environment["XDG_STATE_HOME"] ?? home + "/.local/state") + "/weft"
        #endif
        self.init(path: option ?? environment["WEFT_STATE"] ?? usual)
    }

    package var controlSocketPath: String { path + "/control.sock" }
    package var shardsPath: String { path + "/shards" }
    package var jobsPath: String { path + "/jobs" }
    private var identityPath: String { path + "/identity.key" }
    private var agreementPath: String { path + "/agreement.key" }
    private var ticketPath: String { path + "/swarm.ticket" }
    private var settingsPath: String { path + "/node.json" }
    private var peersPath: String { path + "/peers.cache" }
    private var admissionPath: String { path + "/admission.list" }
    private var lockPath: String { path + "/node.lock" }

    /// Makes the directory if it is missing, and closes it to others.
    package func create() throws(FileError) {
        try SystemFile.makeDirectory(path)
        try SystemFile.closeToOthers(path, directory: true)
    }

    /// Takes the directory for one node; held until the lock's value goes away.
    package func lock() throws(StateError) -> StateLock {
        guard let lock = try unwrapping({ () throws(FileError) in try StateLock(path: lockPath) }) else {
            throw .inUse(path)
        }
        return lock
    }

    // MARK: Keys

    /// The identity's key; made from the system's entropy when there is none yet.
    package func identityKey() throws(StateError) -> IdentityKey {
        let seed = try secret(at: identityPath, count: IdentityKey.seedByteCount, makingIfMissing: true)
        guard let seed, let key = IdentityKey(seed: seed) else { throw .unusable(identityPath) }
        return key
    }

    /// The key for handshakes; made from the system's entropy when there is none yet.
    package func agreementKey() throws(StateError) -> AgreementKey {
        let scalar = try secret(at: agreementPath, count: AgreementPublicKey.byteCount, makingIfMissing: true)
        guard let scalar, let key = AgreementKey(secret: scalar) else { throw .unusable(agreementPath) }
        return key
    }

    /// Whether keys exist already.
    package var hasIdentity: Bool { SystemFile.exists(identityPath) }

    private func secret(at path: String, count: Int, makingIfMissing: Bool) throws(StateError) -> SecretBytes? {
        if let found = try unwrapping({ () throws(FileError) in try SystemFile.readSecret(path, count: count) }) {
            return found
        }
        guard makingIfMissing else { return nil }
        let made = SystemEntropy().secretBytes(count: count)
        var failure: FileError?
        made.withUnsafeBytes { bytes in
            do throws(FileError) { try SystemFile.replace(path, with: bytes) } catch { failure = error }
        }
        if let failure { throw .file(failure) }
        return made
    }

    // MARK: Swarm

    /// Whether the directory belongs to a swarm.
    package var hasSwarm: Bool { SystemFile.exists(ticketPath) }

    /// The ticket of the swarm to which this directory belongs.
    package func ticket() throws(StateError) -> Ticket {
        let bytes = try unwrapping { () throws(FileError) in
            try SystemFile.read(ticketPath, maximumBytes: Ticket.maximumTextBytes)
        }
        guard var bytes else { throw .noSwarm(path) }
        defer { eraseBytes(&bytes) }
        do throws(TicketError) { return try Ticket(String(decoding: bytes, as: UTF8.self)) } catch {
            throw .unreadableTicket(ticketPath, error)
        }
    }

    /// Makes this directory a member of the ticket's swarm. A directory of another swarm is refused, because its
    /// peers, shards and jobs belong there.
    package func adopt(_ ticket: borrowing Ticket) throws(StateError) {
        if hasSwarm {
            let present = try self.ticket()
            guard present.secret.equals(ticket.secret), present.founder == ticket.founder else {
                throw .otherSwarm(path, present.swarmName)
            }
        }
        try save(ticket)
    }

    /// Replaces the stored ticket, for instance with newer contacts.
    package func save(_ ticket: borrowing Ticket) throws(StateError) {
        var bytes = Array(ticket.text.utf8)
        bytes.append(0x0A)
        defer { eraseBytes(&bytes) }
        let text = bytes
        try unwrapping { () throws(FileError) in try SystemFile.replace(ticketPath, with: text) }
    }

    // MARK: Settings and peers

    /// The node's settings; defaults if none were saved.
    package func settings() throws(StateError) -> NodeSettings {
        let bytes = try unwrapping { () throws(FileError) in
            try SystemFile.read(settingsPath, maximumBytes: 1 << 16)
        }
        guard let bytes else { return NodeSettings() }
        do { return try JSONDecoder().decode(NodeSettings.self, from: Data(bytes)) } catch {
            throw .unreadableSettings(settingsPath)
        }
    }

    package func save(_ settings: NodeSettings) throws(StateError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(settings) else { throw .unreadableSettings(settingsPath) }
        let bytes = Array(data) + [0x0A]
        try unwrapping { () throws(FileError) in try SystemFile.replace(settingsPath, with: bytes) }
    }

    /// The peers remembered from the last run. A cache that is missing or damaged is an empty one: it is only a hint,
    /// and every record is signed by its peer.
    package func cachedPeers() -> PeerCache {
        guard let bytes = try? SystemFile.read(peersPath, maximumBytes: PeerCache.maximumBytes),
            let cache = try? PeerCache(wireBytes: bytes)
        else { return PeerCache(records: []) }
        return cache
    }

    /// The closed swarm's list; empty if it never came. Every page is signed, so a damaged file can only be a missing one.
    package func admissionPages() -> [SignedEntry] {
        guard let bytes = try? SystemFile.read(admissionPath, maximumBytes: Limits.admissionPages * 2048) else {
            return []
        }
        var reader = WireReader(bytes)
        return (try? reader.readArray(of: SignedEntry.self, maximum: Limits.admissionPages)) ?? []
    }

    package func save(admissionPages: [SignedEntry]) throws(StateError) {
        var writer = WireWriter()
        writer.write(admissionPages)
        let bytes = writer.bytes
        try unwrapping { () throws(FileError) in try SystemFile.replace(admissionPath, with: bytes) }
    }

    package func save(_ cache: PeerCache) throws(StateError) {
        let bytes = cache.wireBytes
        try unwrapping { () throws(FileError) in try SystemFile.replace(peersPath, with: bytes) }
    }
}

/// Why the state directory cannot be used, in a sentence that says what to do.
package enum StateError: Error, Hashable, Sendable, CustomStringConvertible {
    case file(FileError)
    /// Another process holds the lock.
    case inUse(String)
    case noSwarm(String)
    /// The directory is a member of the named swarm, not of the ticket's.
    case otherSwarm(String, String)
    case unreadableTicket(String, TicketError)
    case unreadableSettings(String)
    case unusable(String)

    package var description: String {
        switch self {
        case .file(let error): error.description
        case .inUse(let path):
            "a node is already running on \(path): stop it first, or give another directory with --state"
        case .noSwarm(let path):
            "\(path) belongs to no swarm: make one with `weft init`, or join one with `weft up --join TICKET`"
        case .otherSwarm(let path, let name):
            "\(path) already belongs to the swarm \"\(name)\": give another directory with --state"
        case .unreadableTicket(let path, let error): "\(path) cannot be used: \(error)"
        case .unreadableSettings(let path): "\(path) is not the settings file of a node: correct or remove it"
        case .unusable(let path): "\(path) does not hold a usable key: restore it from a copy or remove it"
        }
    }
}

/// Turns the file layer's error into the directory's.
private func unwrapping<Value: ~Copyable>(_ body: () throws(FileError) -> Value) throws(StateError) -> Value {
    do throws(FileError) { return try body() } catch { throw .file(error) }
}

extension String {
    fileprivate var trimmingTrailingSlash: String { count > 1 && hasSuffix("/") ? String(dropLast()) : self }
}
