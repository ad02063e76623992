import ArgumentParser
import Control
import Foundation
import Runtime

/// The bandwidth and latency graph.
struct GraphCommand: AsyncParsableCommand {
    enum Format: String, CaseIterable, ExpressibleByArgument {
        case table, json, dot, svg
    }

    static let configuration = CommandConfiguration(
        commandName: "graph", abstract: "Show the bandwidth and latency graph, measured and predicted told apart.")

    @Option(help: "table, json, dot (Graphviz) or svg.")
    var format: Format = .table

    @Option(name: .customLong("output"), help: "Write to this file instead of standard output.")
    var path: String?

    @OptionGroup var state: StateOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let graph = try await ControlClient(state: state.directory).graph()
        if output.json || format == .json, path == nil { return try printJSON(graph) }
        let text: String
        switch output.json ? .json : format {
        case .table:
            text = GraphText(graph).lines(colour: path == nil && Terminal.output.colour).joined(separator: "\n") + "\n"
        case .json: text = try jsonText(graph)
        case .dot: text = GraphDOT.text(graph)
        case .svg: text = GraphSVG.text(graph)
        }
        if let path { try writeFile(text, to: path) } else { print(text, terminator: "") }
    }
}
