import ArgumentParser
import Control
import Foundation
import Runtime
import Topology

/// Content-addressed files in the swarm.
struct ShardCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "shard", abstract: "Add, fetch and list content-addressed files of the swarm.",
        subcommands: [Add.self, Get.self, List.self])

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "add", abstract: "Offer a file to the swarm; prints its shard identity.")

        @Argument(help: "The file.")
        var path: String

        @Option(help: "The name under which it is listed (default: the file's own).")
        var name: String?

        @OptionGroup var state: StateOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            let client = try ControlClient(state: state.directory)
            let events = try await client.addShard(ShardAddRequest(path: absolutePath(path), name: name))
            let shard = try await ShardProgress.follow(events, doing: "hashing", json: output.json)
            if !output.json { print(shard.shard) }
        }
    }

    struct Get: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "get", abstract: "Fetch a file from the peers that have it, verified piece by piece.")

        @Argument(help: "The shard's identity, as `weft shard add` printed it.")
        var shard: String

        @Option(name: .customLong("output"), help: "Where to write it (default: only into the node's store).")
        var path: String?

        @OptionGroup var state: StateOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            let client = try ControlClient(state: state.directory)
            let events = try await client.fetchShard(
                ShardFetchRequest(shard: shard, outputPath: path.map(absolutePath)))
            let found = try await ShardProgress.follow(events, doing: "fetching", json: output.json)
            if !output.json {
                print("\(found.name): \(Figures.bytes(Double(found.bytes)))\(found.path.map { " in \($0)" } ?? "")")
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "ls", abstract: "List the files that this node holds, at least in part.")

        @OptionGroup var state: StateOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            let listing = try await ControlClient(state: state.directory).shards()
            guard !output.json else { return try printJSON(listing) }
            var table = TextTable([("shard", .left), ("name", .left), ("size", .right), ("held", .right)])
            for shard in listing.shards {
                let whole = shard.heldPieces == shard.pieces
                table.add([
                    .init(shard.shard, .accent), .init(shard.name), .init(Figures.bytes(Double(shard.bytes))),
                    .init("\(shard.heldPieces) of \(shard.pieces)", whole ? .good : .warning),
                ])
            }
            for line in table.lines(colour: Terminal.output.colour) { print(line) }
        }
    }
}

/// Shows a shard's progress until it is there.
private enum ShardProgress {
    static func follow(
        _ events: AsyncThrowingStream<ShardEvent, any Error>, doing: String, json: Bool
    ) async throws -> ShardView {
        let line = ProgressLine()
        for try await event in events {
            if json { try printJSONLine(event) }
            switch event {
            case .progress(let progress):
                let fraction = Double(progress.doneBytes) / Double(max(progress.totalBytes, 1))
                let sources = progress.sources > 0 ? " from \(progress.sources) peers" : ""
                if !json {
                    line.show(
                        "\(doing) \(HumanText.bar(fraction: fraction, width: 30)) "
                            + "\(Figures.bytes(Double(progress.doneBytes))) of "
                            + "\(Figures.bytes(Double(progress.totalBytes))), "
                            + "\(Figures.bytes(progress.bytesPerSecond))/s\(sources)")
                }
            case .finished(let shard):
                line.clear()
                return shard
            }
        }
        line.clear()
        throw CommandFailure("the node ended the transfer without a result: see its log")
    }
}
