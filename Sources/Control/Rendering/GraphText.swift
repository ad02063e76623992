package import Runtime
internal import Primitives
internal import Topology

/// The graph for a terminal: a matrix of rates and round trips from each row's peer to each column's.
package struct GraphText: Sendable {
    /// Beyond this many peers a matrix does not fit; a list of links is printed instead.
    static let largestMatrix = 10

    private let graph: GraphView
    /// By name, as people look for them.
    private let peers: [GraphView.Peer]

    package init(_ graph: GraphView) {
        self.graph = graph
        peers = graph.peers.sorted { (Self.label($0), $0.peer) < (Self.label($1), $1.peer) }
    }

    /// Predicted figures are marked `~`, unknown ones `?`, and links whose ends disagree `!`.
    package func lines(colour: Bool) -> [String] {
        let table = peers.count <= Self.largestMatrix ? matrix(colour: colour) : list(colour: colour)
        let measured = graph.links.count { $0.bandwidthSource == .measured }
        return table + summary + [
            "",
            "\(graph.peers.count) peers, \(measured) of \(graph.links.count) directed links measured, graph "
                + "\(graph.digest.prefix(10)). ~ predicted, ? unknown, ! the two ends disagree.",
        ]
    }

    /// What the matrix has no room for.
    private var summary: [String] {
        guard peers.count <= Self.largestMatrix else { return [] }
        let ages = graph.links.compactMap(\.ageSeconds).sorted()
        var lines: [String] = []
        if let newest = ages.first, let oldest = ages.last {
            lines.append("Measurements are \(Self.age(newest)) to \(Self.age(oldest)) old.")
        }
        for (what, uncertainties) in [
            ("bandwidths", graph.links.compactMap(\.bandwidthUncertainty)),
            ("round trips", graph.links.compactMap(\.roundTripUncertainty)),
        ] where !uncertainties.isEmpty {
            let methods = Set(uncertainties.compactMap(\.method?.rawValue)).sorted().joined(separator: ", ")
            let errors = uncertainties.map(\.relativeError).sorted()
            lines.append(
                "\(uncertainties.count) \(what) are predicted (\(methods)), usually within "
                    + "\(HumanText.decimal(errors[errors.count / 2] * 100, digits: 0)) %.")
        }
        return lines.isEmpty ? [] : [""] + lines
    }

    /// Half of such predictions are off by less.
    private static func error(_ uncertainty: GraphView.Uncertainty?) -> String {
        uncertainty.map { HumanText.decimal($0.relativeError * 100, digits: 0) + " %" } ?? ""
    }

    private static func source(_ link: GraphView.Link) -> String {
        link.bandwidthUncertainty?.method?.rawValue ?? link.bandwidthSource.rawValue
    }

    private static func age(_ seconds: Double) -> String {
        switch seconds {
        case ..<120: "\(Int(seconds)) s"
        case ..<7200: "\(Int(seconds / 60)) min"
        default: "\(Int(seconds / 3600)) h"
        }
    }

    private func matrix(colour: Bool) -> [String] {
        var table = TextTable(
            [("from \\ to", .left)] + peers.map { (String(Self.label($0).prefix(14)), .right) })
        let links = index()
        for from in peers {
            table.add(
                [TextTable.Cell(Self.label(from), .accent)]
                    + peers.map { to in
                        if from.peer == to.peer { return TextTable.Cell("·", .faint) }
                        guard let link = links[[from.peer, to.peer]] else { return TextTable.Cell("?", .faint) }
                        return Self.cell(link)
                    })
        }
        return table.lines(colour: colour)
    }

    private func list(colour: Bool) -> [String] {
        var table = TextTable([
            ("from", .left), ("to", .left), ("rate", .right), ("±", .right), ("round trip", .right), ("±", .right),
            ("loss", .right), ("source", .left), ("age", .right), ("confidence", .right),
        ])
        let names = Dictionary(graph.peers.map { ($0.peer, Self.label($0)) }, uniquingKeysWith: { first, _ in first })
        for link in graph.links {
            table.add([
                TextTable.Cell(names[link.from] ?? String(link.from.prefix(10)), .accent),
                TextTable.Cell(names[link.to] ?? String(link.to.prefix(10)), .accent),
                TextTable.Cell(Self.rate(link), Self.style(link)),
                TextTable.Cell(Self.error(link.bandwidthUncertainty), .faint), TextTable.Cell(Self.roundTrip(link)),
                TextTable.Cell(Self.error(link.roundTripUncertainty), .faint),
                TextTable.Cell(link.lossFraction.map { HumanText.decimal($0 * 100, digits: 1) + " %" } ?? ""),
                TextTable.Cell(Self.source(link), .faint),
                TextTable.Cell(link.ageSeconds.map(Self.age) ?? "", .faint),
                TextTable.Cell(
                    link.bandwidthSource == .unknown ? "" : HumanText.decimal(link.confidence, digits: 2), .faint),
            ])
        }
        return table.lines(colour: colour)
    }

    private func index() -> [[String]: GraphView.Link] {
        Dictionary(graph.links.map { ([$0.from, $0.to], $0) }, uniquingKeysWith: { first, _ in first })
    }

    private static func cell(_ link: GraphView.Link) -> TextTable.Cell {
        TextTable.Cell("\(rate(link)) \(roundTrip(link))", style(link))
    }

    private static func style(_ link: GraphView.Link) -> TextStyle {
        if link.disagrees { return .warning }
        return link.bandwidthSource == .measured ? .plain : .faint
    }

    private static func rate(_ link: GraphView.Link) -> String {
        guard let rate = link.bandwidthBytesPerSecond, link.bandwidthSource != .unknown else { return "?" }
        let mark = link.disagrees ? "!" : link.bandwidthSource == .predicted ? "~" : ""
        let text = Bandwidth(bytesPerSecond: rate).description
        return mark + text.replacing(" ", with: "").replacing("bit/s", with: "")
    }

    private static func roundTrip(_ link: GraphView.Link) -> String {
        guard let seconds = link.roundTripSeconds, link.roundTripSource != .unknown else { return "?" }
        return (link.roundTripSource == .predicted ? "~" : "") + Figures.seconds(seconds).replacing(" ", with: "")
    }

    /// A peer's name, or the short form of its identity.
    package static func label(_ peer: GraphView.Peer) -> String {
        peer.name.isEmpty ? String(peer.peer.prefix(10)) : peer.name
    }
}

/// The graph for Graphviz: `weft graph --format dot | neato -Tsvg`.
package enum GraphDOT {
    package static func text(_ graph: GraphView) -> String {
        var lines = [
            "digraph weft {", "  graph [overlap=false, splines=true];",
            "  node [shape=circle, fontname=\"Helvetica\"];",
        ]
        for peer in graph.peers {
            lines.append("  \"\(peer.peer.prefix(10))\" [label=\"\(escape(GraphText.label(peer)))\"];")
        }
        for link in graph.links {
            guard let rate = link.bandwidthBytesPerSecond, link.bandwidthSource != .unknown else { continue }
            let length = link.roundTripSeconds.map { HumanText.decimal(1 + $0 * 50, digits: 2) } ?? "3"
            let style = link.bandwidthSource == .measured ? "solid" : "dashed"
            lines.append(
                "  \"\(link.from.prefix(10))\" -> \"\(link.to.prefix(10))\" [label=\"\(Bandwidth(bytesPerSecond: rate))\", "
                    + "style=\(style), len=\(length)];")
        }
        return lines.joined(separator: "\n") + "\n}\n"
    }

    private static func escape(_ text: String) -> String {
        text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
    }
}
