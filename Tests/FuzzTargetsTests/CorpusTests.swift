import Foundation
import FuzzTargets
import Primitives
import TestSupport
import Testing

/// Replays the committed corpora, finds of the fuzzer among them, and tries a thousand seeded mutations of them.
@Suite struct CorpusTests {
    /// With `WEFT_WRITE_CORPUS` set the seeds are written first, for a new target or a changed encoding.
    private static let writesSeeds = ProcessInfo.processInfo.environment["WEFT_WRITE_CORPUS"] != nil

    private static func folder(_ target: FuzzTarget) -> URL {
        URL(filePath: NetworkExamples.root).appending(path: "Tools/Fuzz/Corpus/\(target.name)")
    }

    /// The inputs of a target in the order of their names.
    private static func corpus(_ target: FuzzTarget) throws -> [(name: String, bytes: [UInt8])] {
        let folder = folder(target)
        if writesSeeds {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            for (index, seed) in target.seeds().enumerated() {
                try Data(seed).write(to: folder.appending(path: "seed-\(index)"), options: .atomic)
            }
        }
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
        return try names.map { ($0, [UInt8](try Data(contentsOf: folder.appending(path: $0)))) }
    }

    @Test(arguments: FuzzTarget.all.map(\.name))
    func committedInputsHoldTheProperty(name: String) throws {
        let target = try #require(FuzzTarget.named(name))
        let corpus = try Self.corpus(target)
        #expect(!corpus.isEmpty, "\(name) has no corpus: run with WEFT_WRITE_CORPUS=1 and commit Tools/Fuzz/Corpus")
        for input in corpus {
            do {
                let accepted = try target.run(input.bytes)
                if input.name.hasPrefix("seed-") {
                    #expect(accepted, "\(name)/\(input.name) is a real encoding and was refused")
                }
            } catch { Issue.record("\(name)/\(input.name): \(error)") }
        }
    }

    /// The committed seeds are today's encodings; a change of format that forgets them is noticed here.
    @Test(arguments: FuzzTarget.all.map(\.name))
    func seedsAreCurrent(name: String) throws {
        let target = try #require(FuzzTarget.named(name))
        let corpus = try Self.corpus(target).filter { $0.name.hasPrefix("seed-") }.map(\.bytes)
        for (index, seed) in target.seeds().enumerated() {
            #expect(corpus.contains(seed), "seed \(index) of \(name) is not committed: WEFT_WRITE_CORPUS=1 writes it")
        }
    }

    @Test(arguments: FuzzTarget.all.map(\.name))
    func mutationsHoldTheProperty(name: String) throws {
        let target = try #require(FuzzTarget.named(name))
        let corpus = try Self.corpus(target).map(\.bytes)
        var generator = SeededGenerator(seed: 0x77_6566_7400 + UInt64(name.utf8.count))
        for _ in 0..<1000 {
            let input = Mutation.mutate(corpus, maximumByteCount: target.maximumByteCount, &generator)
            do { _ = try target.run(input) } catch {
                Issue.record("\(name) on \(input.hex): \(error)")
                return
            }
        }
    }

    /// Every prefix of a real encoding is refused or canonical, and none crashes.
    @Test(arguments: FuzzTarget.all.map(\.name))
    func prefixesHoldTheProperty(name: String) throws {
        let target = try #require(FuzzTarget.named(name))
        for seed in target.seeds() {
            let step = max(1, seed.count / 512)
            for count in stride(from: 0, to: seed.count, by: step) {
                do { _ = try target.run(Array(seed.prefix(count))) } catch {
                    Issue.record("\(name) on the first \(count) bytes of a seed: \(error)")
                }
            }
        }
    }

    @Test func everyCorpusHasATarget() throws {
        let root = URL(filePath: NetworkExamples.root).appending(path: "Tools/Fuzz/Corpus")
        let folders = try FileManager.default.contentsOfDirectory(atPath: root.path)
        let orphans = folders.filter { FuzzTarget.named($0) == nil && !$0.hasPrefix(".") }
        #expect(orphans.isEmpty, "folders without a target: \(orphans)")
    }

    @Test func namesAreUnique() {
        let names = FuzzTarget.all.map(\.name)
        #expect(Set(names).count == names.count)
    }
}
