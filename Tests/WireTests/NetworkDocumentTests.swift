import Foundation
import TestSupport
import Testing
import Wire

/// NETWORK.md as a whole: every example is tested somewhere, and its table of bounds is the code's.
@Suite struct NetworkDocumentTests {
    /// The texts of all test sources but this one.
    private static let tests: [String] = {
        let root = URL(filePath: NetworkExamples.root).appending(path: "Tests")
        let files = FileManager.default.enumerator(at: root, includingPropertiesForKeys: nil)?.compactMap { $0 as? URL }
        return (files ?? []).filter {
            $0.pathExtension == "swift" && $0.lastPathComponent != "NetworkDocumentTests.swift"
        }
        .sorted { $0.path < $1.path }.compactMap { try? String(contentsOf: $0, encoding: .utf8) }
    }()

    @Test func everyExampleHasATest() {
        #expect(NetworkExamples.names.count >= 20, "the document has few examples: is it found?")
        for name in NetworkExamples.names {
            let parts = name.split(separator: "/")
            let isTested = Self.tests.contains { text in
                // Written out, or put together from the room's name and the message's.
                text.contains("\"\(name)\"")
                    || (text.contains("\"\(parts.first ?? "")/") && text.contains("\"\(parts.last ?? "")\""))
            }
            #expect(isTested, "no test reads the example \(name)")
        }
    }

    @Test func examplesAreWellFormedAndNamedOnce() {
        let names = NetworkExamples.names
        #expect(Set(names).count == names.count, "an example's name is used twice")
        for name in names { #expect(NetworkExamples.bytes(name) != nil, "\(name) is not hex") }
    }

    /// Name, value and the code's value of each bound.
    private static let bounds: [(name: String, value: UInt64)] = [
        ("datagramBytes", UInt64(Limits.datagramBytes)),
        ("transportOverheadBytes", UInt64(Limits.transportOverheadBytes)),
        ("datagramPayloadBytes", UInt64(Limits.datagramPayloadBytes)),
        ("nameBytes", UInt64(Limits.nameBytes)),
        ("addressesPerRecord", UInt64(Limits.addressesPerRecord)),
        ("bootstrapPeersPerTicket", UInt64(Limits.bootstrapPeersPerTicket)),
        ("members", UInt64(Limits.members)),
        ("queuedStatements", UInt64(Limits.queuedStatements)),
        ("entryDatagramValueBytes", UInt64(Limits.entryDatagramValueBytes)),
        ("entriesPerOwner", UInt64(Limits.entriesPerOwner)),
        ("linksPerEntry", UInt64(Limits.linksPerEntry)),
        ("admissionsPerPage", UInt64(Limits.admissionsPerPage)),
        ("admissionPages", UInt64(Limits.admissionPages)),
        ("waitingPeers", UInt64(Limits.waitingPeers)),
        ("recordBytes", UInt64(Limits.recordBytes)),
        ("streamMessageBytes", UInt64(Limits.streamMessageBytes)),
        ("leafBytes", UInt64(Limits.leafBytes)),
        ("pieceBytes", UInt64(Limits.pieceBytes)),
        ("shardBytes", Limits.shardBytes),
        ("shardNameBytes", UInt64(Limits.shardNameBytes)),
        ("piecesPerShard", UInt64(Limits.piecesPerShard)),
        ("modelLayers", UInt64(Limits.modelLayers)),
        ("pipelinesPerJob", UInt64(Limits.pipelinesPerJob)),
        ("microBatchesPerStep", UInt64(Limits.microBatchesPerStep)),
        ("tensorBytes", UInt64(Limits.tensorBytes)),
        ("tensorElements", UInt64(Limits.tensorElements)),
        ("planBytes", UInt64(Limits.planBytes)),
        ("checkpointParts", UInt64(Limits.checkpointParts)),
        ("holdersPerPart", UInt64(Limits.holdersPerPart)),
        ("reasonBytes", UInt64(Limits.reasonBytes)),
    ]

    @Test func theTableOfBoundsIsTheCode() throws {
        let text = NetworkExamples.text
        for bound in Self.bounds {
            let digits = String(bound.value)
            let grouped = String(
                digits.enumerated().map { index, digit in
                    index > 0 && (digits.count - index).isMultiple(of: 3) ? ",\(digit)" : "\(digit)"
                }.joined())
            #expect(text.contains("| `\(bound.name)` | \(grouped) |"), "\(bound.name) is \(grouped) in the code")
        }
        let source = try String(contentsOfFile: NetworkExamples.root + "/Sources/Wire/Limits.swift", encoding: .utf8)
        let declared = source.matches(of: /static let (\w+)/).map { String($0.output.1) }
        #expect(declared.sorted() == Self.bounds.map(\.name).sorted(), "a bound is missing in this test or in the code")
    }
}
