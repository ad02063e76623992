import ArgumentParser
import Foundation
import Runtime

/// The text that the demo trains on.
struct DemoText {
    /// What it is, for people.
    let description: String
    let bytes: [UInt8]

    /// `--text`, else this project's documents and Swift sources if the current folder is a checkout, else what the
    /// program has to say about itself.
    init(option: String?) throws {
        if let option {
            let corpus = try TextCorpus(contentsOf: option)
            bytes = corpus.bytes
            description = "\(option) (\(Self.files(corpus.fileCount)))"
            return
        }
        let folder = FileManager.default.currentDirectoryPath
        let isCheckout = ["Package.swift", "Sources/weft/Weft.swift", "README.md"].allSatisfy {
            FileManager.default.fileExists(atPath: folder + "/" + $0)
        }
        if isCheckout {
            let corpus = try TextCorpus(projectCheckout: folder)
            bytes = corpus.bytes
            description = "this project's own documents and sources (\(Self.files(corpus.fileCount)))"
        } else {
            bytes = Self.ownHelp
            description = "the program's own help (give --text FILE for something better)"
        }
    }

    private static func files(_ count: Int) -> String { count == 1 ? "one file" : "\(count) files" }

    /// The help of every command: a text that is always there.
    private static var ownHelp: [UInt8] {
        var texts = [Weft.helpMessage(columns: 100)]
        for group in Weft.configuration.groupedSubcommands {
            for command in group.subcommands { texts.append(Weft.helpMessage(for: command, columns: 100)) }
        }
        texts.append(DemoTopology.builtIn)
        return Array(texts.joined(separator: "\n").utf8)
    }
}
