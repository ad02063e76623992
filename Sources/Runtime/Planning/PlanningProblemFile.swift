import Foundation
import Primitives
package import Topology
import Wire

/// A planning problem as a file holds it: `weft.planning-problem/1`.
package struct PlanningProblemFile: Decodable, Sendable {
    package struct Peer: Decodable, Sendable {
        var name: String
        var flopsPerSecond: Double
        var memoryBytes: Double
        var uplinkBitsPerSecond: Double?
        var downlinkBitsPerSecond: Double?
        /// Bytes a second that the peer reads from its memory, for generation.
        var memoryBytesPerSecond: Double?
        /// What an hour of the peer costs.
        var pricePerHour: Double?
        /// The peer's position in `sites`, where the file describes links between sites.
        var site: Int?
    }

    /// Links between sites rather than peers: row's site to column's, the diagonal for two peers of one site.
    package struct Sites: Decodable, Sendable {
        var latencySeconds: [[Double?]]
        var bandwidthBitsPerSecond: [[Double?]]
    }

    package struct Model: Decodable, Sendable {
        var name: String?
        var layers: Int
        var hidden: Int
        var heads: Int
        var sequenceLength: Int
        var vocabulary: Int
        var parameters: Double?
        var bytesPerActivationElement: Double?
        var bytesPerGradientElement: Double?
        /// Whether activations are computed again rather than kept.
        var recomputesActivations: Bool?
    }

    package struct Batch: Decodable, Sendable {
        var sequences: Int
        var microBatchSequences: Int
    }

    package struct Shape: Decodable, Sendable {
        var stages: Int?
        var replicas: Int?
    }

    package struct Generation: Decodable, Sendable {
        var promptTokens: Int?
        var newTokens: Int?
        var maximumSequences: Int?
    }

    package struct DTFM: Decodable, Sendable {
        var gradientBytes: Double
        var activationBytes: Double
    }

    /// The format that this build reads.
    package static let format = "weft.planning-problem/1"

    package var format: String
    package var name: String?
    package var peers: [Peer]
    /// One-way latency from the row's peer to the column's; null where unknown.
    package var latencySeconds: [[Double?]]?
    package var bandwidthBitsPerSecond: [[Double?]]?
    /// Instead of the two matrices.
    package var sites: Sites?
    package var model: Model
    package var batch: Batch
    package var shape: Shape?
    package var dtfm: DTFM?
    package var schedule: String?
    /// A name of `PlanningProblem.Compression`.
    package var compression: String?
    package var localSteps: Int?
    /// Whether the holders of a layer always exchange its gradients each with all, as the training engine does, rather
    /// than within clusters of near peers first where that is faster.
    package var directExchange: Bool?
    /// What is generated, for the goals of generation.
    package var generation: Generation?
    /// What the plan's peers may cost an hour together.
    package var maximumCostPerHour: Double?

    /// Reads one problem, or an array of them; `isArray` says which it was.
    package static func read(
        _ path: String
    ) throws(PlanningFileError) -> (problems: [PlanningProblemFile], isArray: Bool) {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw PlanningFileError("cannot read \(path): is there such a file, and may you read it?")
        }
        let first = data.first { $0 > UInt8(ascii: " ") }
        do {
            let decoder = JSONDecoder()
            return first == UInt8(ascii: "[")
                ? (try decoder.decode([PlanningProblemFile].self, from: data), true)
                : ([try decoder.decode(PlanningProblemFile.self, from: data)], false)
        } catch let error as DecodingError {
            throw PlanningFileError("\(path) is not a planning problem: \(Self.describe(error))")
        } catch {
            throw PlanningFileError("\(path) is not a planning problem: \(error)")
        }
    }

    /// The problem as planners take it.
    package func problem() throws(PlanningFileError) -> PlanningProblem {
        let title = name ?? "problem"
        guard format == Self.format else {
            throw PlanningFileError("\(title): the format is \"\(format)\", this build reads \"\(Self.format)\"")
        }
        try checkLinks(title)
        guard model.layers > 0, model.hidden > 0, model.heads > 0, model.sequenceLength > 0, model.vocabulary > 0 else {
            throw PlanningFileError(
                "\(title): the model's layers, hidden, heads, sequenceLength and vocabulary must be positive")
        }
        var plannedSchedule: PlanSchedule?
        if let schedule {
            guard let known = PlanSchedule(name: schedule) else {
                let names = PlanSchedule.allCases.map(\.name).joined(separator: ", ")
                throw PlanningFileError("\(title): the schedule is \"\(schedule)\"; known are \(names)")
            }
            plannedSchedule = known
        }
        var problem = PlanningProblem(
            name: title, graph: graph(), model: profile(),
            batch: PlanningProblem.Batch(
                sequences: batch.sequences, microBatchSequences: batch.microBatchSequences),
            shape: PlanningProblem.Shape(stages: shape?.stages, replicas: shape?.replicas),
            dtfm: dtfm.map {
                PlanningProblem.DTFMConstants(gradientBytes: $0.gradientBytes, activationBytes: $0.activationBytes)
            }, schedule: plannedSchedule, slicesTiedExchange: true, weighsSlices: true,
            exchangesInLevels: !(directExchange ?? false),
            compression: try compression.map { (name) throws(PlanningFileError) in try self.compression(named: name) }
                ?? .none, localSteps: localSteps ?? 1)
        let usual = GenerationWorkload()
        problem.generation = GenerationWorkload(
            promptTokens: generation?.promptTokens ?? usual.promptTokens,
            newTokens: generation?.newTokens ?? usual.newTokens, maximumSequences: generation?.maximumSequences)
        problem.maximumCostPerHour = maximumCostPerHour
        return problem
    }

    /// What a kind of compression makes of this problem's tensors.
    package func compression(named name: String) throws(PlanningFileError) -> PlanningProblem.Compression {
        guard
            let known = PlanningProblem.Compression.named(
                name, activationElementBytes: model.bytesPerActivationElement ?? 4,
                gradientElementBytes: model.bytesPerGradientElement ?? 4)
        else {
            let names = PlanningProblem.Compression.names.joined(separator: ", ")
            throw PlanningFileError("\(self.name ?? "problem"): the compression is \"\(name)\"; known are \(names)")
        }
        return known
    }

    private func checkLinks(_ title: String) throws(PlanningFileError) {
        var count = peers.count
        var matrices = [("latencySeconds", latencySeconds), ("bandwidthBitsPerSecond", bandwidthBitsPerSecond)]
        var what = "peers"
        if let sites {
            count = sites.latencySeconds.count
            what = "sites"
            matrices = [
                ("sites.latencySeconds", sites.latencySeconds),
                ("sites.bandwidthBitsPerSecond", sites.bandwidthBitsPerSecond),
            ]
            for peer in peers {
                guard let site = peer.site, (0..<count).contains(site) else {
                    throw PlanningFileError(
                        "\(title): peer \(peer.name) has \(peer.site.map { "site \($0)" } ?? "no site"): the file has "
                            + "\(count) sites, from 0")
                }
            }
        }
        for (name, values) in matrices {
            guard let values else {
                throw PlanningFileError("\(title): there is no \(name), and no sites that would stand for it")
            }
            guard values.count == count else {
                throw PlanningFileError("\(title): \(name) has \(values.count) rows for \(count) \(what)")
            }
            for (row, columns) in values.enumerated() where columns.count != count {
                throw PlanningFileError(
                    "\(title): row \(row) of \(name) has \(columns.count) values for \(count) \(what)")
            }
        }
    }

    private func graph() -> LinkGraph {
        let nodes = peers.map { peer in
            LinkGraph.Node(
                name: peer.name, flopsPerSecond: peer.flopsPerSecond, memoryBytes: peer.memoryBytes,
                uplinkBytesPerSecond: peer.uplinkBitsPerSecond.map { $0 / 8 },
                downlinkBytesPerSecond: peer.downlinkBitsPerSecond.map { $0 / 8 },
                memoryBytesPerSecond: peer.memoryBytesPerSecond, pricePerHour: peer.pricePerHour)
        }
        func table(_ rows: [[Double?]], scale: Double) -> LinkTable<LinkEstimate> {
            var values = rows.joined().map { $0.map { LinkEstimate.measured($0 * scale) } ?? .unknown }
            if sites != nil {
                return LinkTable(
                    places: peers.map { $0.site ?? 0 }, width: rows.count, values: values, own: .unknown)
            }
            for peer in peers.indices { values[peer * peers.count + peer] = .unknown }
            return LinkTable(peers: peers.count, values: values, own: .unknown)
        }
        var graph = LinkGraph(
            nodes: nodes, latencies: table(sites?.latencySeconds ?? latencySeconds ?? [], scale: 1),
            rates: table(sites?.bandwidthBitsPerSecond ?? bandwidthBitsPerSecond ?? [], scale: 1 / 8),
            digest: Digest.sha256([UInt8]()))
        graph.digest = graph.contentDigest
        return graph
    }

    private func profile() -> ModelProfile {
        let shape = GPTShape(
            layers: model.layers, width: model.hidden, heads: model.heads, context: model.sequenceLength,
            vocabulary: model.vocabulary)
        let profile = ModelProfile.gpt(
            name: model.name ?? "gpt", shape: shape, precision: precision, totalParameters: model.parameters)
        return model.recomputesActivations == true ? profile.recomputing() : profile
    }

    /// How the file's model is trained: mixed precision if its activations are smaller than four bytes.
    package var precision: ModelProfile.Precision {
        let activation = model.bytesPerActivationElement ?? 4
        let gradient = model.bytesPerGradientElement ?? 4
        return activation < 4
            ? .mixed(activationElementBytes: activation, gradientElementBytes: gradient) : .single
    }

    private static func describe(_ error: DecodingError) -> String {
        func place(_ path: [any CodingKey]) -> String {
            path.isEmpty
                ? "the top" : path.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }.joined(separator: ".")
        }
        switch error {
        case .keyNotFound(let key, let context):
            return "\(place(context.codingPath)) lacks \"\(key.stringValue)\""
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            return "\(place(context.codingPath)) has the wrong type"
        case .dataCorrupted(let context):
            return context.codingPath.isEmpty ? "it is not valid JSON" : "\(place(context.codingPath)) is not valid"
        @unknown default:
            return "\(error)"
        }
    }
}

/// Why a planning file could not be used, in one line.
package struct PlanningFileError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}
