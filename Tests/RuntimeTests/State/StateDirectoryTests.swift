import Foundation
import Primitives
import Runtime
import Testing
import Wire

/// What a node keeps on disk: it comes back, others cannot read it, and damage is named.
@Suite struct StateDirectoryTests {
    private let temporary: TemporaryDirectory
    private let state: StateDirectory

    init() throws {
        temporary = try TemporaryDirectory()
        state = StateDirectory(path: temporary.path + "/state")
        try state.create()
    }

    private func ticket(_ name: String, secret: UInt8) throws -> Ticket {
        try Ticket(
            swarmName: name, secret: SecretBytes(copying: [UInt8](repeating: secret, count: 32)), contacts: [])
    }

    private func refusal(_ body: () throws -> Void) -> StateError? {
        do {
            try body()
            return nil
        } catch { return error as? StateError }
    }

    @Test func keysAreMadeOnceAndClosedToOthers() throws {
        let first = try state.identityKey().peer
        let agreement = try state.agreementKey().publicKey
        #expect(try state.identityKey().peer == first)
        #expect(try state.agreementKey().publicKey == agreement)
        #expect(first.bytes != agreement.bytes)
        for file in ["identity.key", "agreement.key"] {
            #expect(try temporary.permissions("state/\(file)") == 0o600)
        }
        #expect(try temporary.permissions("state") == 0o700)
        let other = StateDirectory(path: temporary.path + "/other")
        try other.create()
        #expect(try other.identityKey().peer != first)
    }

    @Test func aKeyThatOthersCanReadIsRefused() throws {
        _ = try state.identityKey().peer
        try FileManager.default.setAttributes(
            [.posixPermissions: 0o644], ofItemAtPath: state.path + "/identity.key")
        let error = refusal { _ = try state.identityKey().peer }
        #expect(error?.description.contains("chmod 600") == true, "\(String(describing: error))")
    }

    @Test func aKeyOfAnotherLengthIsRefused() throws {
        try SystemFile.replace(state.path + "/identity.key", with: [1, 2, 3])
        let error = refusal { _ = try state.identityKey().peer }
        #expect(error?.description.contains("3 bytes instead of 32") == true, "\(String(describing: error))")
    }

    @Test func swarmComesBackAndIsNotExchanged() throws {
        #expect(!state.hasSwarm)
        #expect(refusal { _ = try state.ticket().swarmName } == .noSwarm(state.path))
        try state.adopt(ticket("one", secret: 1))
        #expect(try state.ticket().swarmName == "one")
        #expect(try temporary.permissions("state/swarm.ticket") == 0o600)
        try state.adopt(ticket("one, renamed", secret: 1))
        #expect(try state.ticket().swarmName == "one, renamed")
        #expect(refusal { try state.adopt(ticket("two", secret: 2)) } == .otherSwarm(state.path, "one, renamed"))
        #expect(try state.ticket().swarmName == "one, renamed")
    }

    @Test func settingsComeBackAndAreOverridden() throws {
        #expect(try state.settings() == NodeSettings())
        let saved = NodeSettings(name: "a", listen: "127.0.0.1:1", advertise: ["192.0.2.1:1"], memoryBytes: 5)
        try state.save(saved)
        #expect(try state.settings() == saved)
        let merged = saved.overridden(by: NodeSettings(name: "b", discovery: false))
        #expect(merged.name == "b" && merged.listen == "127.0.0.1:1" && merged.discovery == false)
        try SystemFile.replace(state.path + "/node.json", with: Array("{".utf8))
        #expect(refusal { _ = try state.settings() } == .unreadableSettings(state.path + "/node.json"))
    }

    @Test func peersComeBackAndDamageIsAnEmptyCache() throws {
        #expect(state.cachedPeers().records.isEmpty)
        let signer = Signer(try state.identityKey())
        let contact = Contact(
            peer: signer.peer, agreementKey: try state.agreementKey().publicKey,
            addresses: [try #require(NetworkAddress("192.0.2.1:7600"))])
        let records = (0..<300).map { PeerRecord(contact: contact, incarnation: UInt64($0), signer: signer) }
        try state.save(PeerCache(records: records))
        let read = state.cachedPeers()
        #expect(read.records == Array(records.prefix(PeerCache.maximumRecords)))
        let bytes = try #require(try SystemFile.read(state.path + "/peers.cache", maximumBytes: 1 << 20))
        try SystemFile.replace(state.path + "/peers.cache", with: Array(bytes.dropLast()))
        #expect(state.cachedPeers().records.isEmpty)
    }

    @Test func oneNodeHoldsTheLock() throws {
        do {
            let lock = try state.lock()
            #expect(refusal { _ = try state.lock() } == .inUse(state.path))
            _ = consume lock
        }
        #expect(refusal { _ = try state.lock() } == nil)
    }

    @Test func replacingLeavesNoTemporaryFile() throws {
        for round in 0..<5 { try SystemFile.replace(state.path + "/x", with: [UInt8](repeating: 1, count: round)) }
        #expect(try FileManager.default.contentsOfDirectory(atPath: state.path) == ["x"])
        #expect(throws: FileError.self) { try SystemFile.replace(state.path + "/missing/x", with: [1]) }
        #expect(throws: FileError.self) { try SystemFile.read(state.path + "/x", maximumBytes: 3) }
    }

    @Test func optionWinsOverEnvironmentOverHome() {
        let environment = ["HOME": "/people/a", "WEFT_STATE": "/srv/weft/"]
        #expect(StateDirectory(option: "/tmp/x", environment: environment).path == "/tmp/x")
        #expect(StateDirectory(option: nil, environment: environment).path == "/srv/weft")
        #expect(StateDirectory(option: nil, environment: ["HOME": "/people/a"]).path.hasPrefix("/people/a/"))
        #expect(StateDirectory(option: "sub/../x", environment: environment).path.hasSuffix("/x"))
    }
}
