internal import Foundation
internal import Primitives
package import Runtime
internal import Topology

/// The graph as a picture: peers lie apart by their round trip, links are as thick as they are fast, predicted ones are
/// dashed, and a pointer on a link or a peer shows its figures.
package enum GraphSVG {
    private static let width = 960.0
    private static let height = 720.0
    private static let margin = 90.0
    private static let footer = 70.0
    /// With more peers than this, predicted links are left out: a thousand dashes say nothing.
    private static let largestFull = 16

    package static func text(_ graph: GraphView, title: String = "Bandwidth and latency between peers") -> String {
        var canvas = SVGCanvas(width: width, height: height)
        canvas.text(title, at: (32, 44), size: 22, weight: "600")
        let measured = graph.links.count { $0.bandwidthSource == .measured }
        canvas.text(
            "\(graph.peers.count) peers, \(measured) of \(graph.links.count) directed links measured, graph "
                + graph.digest.prefix(10), at: (32, 66), fill: SVGCanvas.faint)

        let positions = Dictionary(
            graph.peers.enumerated().map { ($1.peer, $0) }, uniquingKeysWith: { first, _ in first })
        var roundTrips = [[Double?]](
            repeating: [Double?](repeating: nil, count: graph.peers.count), count: graph.peers.count)
        for link in graph.links {
            guard let from = positions[link.from], let to = positions[link.to] else { continue }
            roundTrips[from][to] = link.roundTripSeconds
        }
        let points = GraphLayout(roundTrips: roundTrips).fitted(
            width: width, height: height - footer, margin: margin
        ).map { $0 + SIMD2(0, 24) }
        let scale = RateScale(graph.links.compactMap(\.bandwidthBytesPerSecond))
        // Slow links first, so that fast ones lie on top.
        let isCrowded = graph.peers.count > largestFull
        let drawable = graph.links.filter {
            $0.bandwidthBytesPerSecond != nil
                && ($0.bandwidthSource == .measured || $0.bandwidthSource == .predicted && !isCrowded)
        }
        .sorted {
            ($0.bandwidthBytesPerSecond ?? 0, $0.from, $0.to) < ($1.bandwidthBytesPerSecond ?? 0, $1.from, $1.to)
        }
        for link in drawable {
            guard let from = positions[link.from], let to = positions[link.to] else { continue }
            drawLink(
                link, from: points[from], to: points[to], scale: scale,
                names: (GraphText.label(graph.peers[from]), GraphText.label(graph.peers[to])), on: &canvas)
        }
        let fastest = graph.peers.map(\.flopsPerSecond).max() ?? 0
        for (peer, point) in zip(graph.peers, points) { drawPeer(peer, at: point, fastest: fastest, on: &canvas) }
        drawLegend(scale, isCrowded: isCrowded, on: &canvas)
        return canvas.document
    }

    /// A curve bent to its right, so that the two directions of a pair lie side by side.
    private static func drawLink(
        _ link: GraphView.Link, from: SIMD2<Double>, to: SIMD2<Double>, scale: RateScale, names: (String, String),
        on canvas: inout SVGCanvas
    ) {
        guard let rate = link.bandwidthBytesPerSecond else { return }
        let difference = to - from
        let length = max(sqrt((difference * difference).sum()), 1)
        let normal = SIMD2(-difference.y, difference.x) / length
        let bend = (from + to) / 2 + normal * min(26, length * 0.12)
        let share = scale.share(rate)
        let dash = link.bandwidthSource == .measured ? "" : " stroke-dasharray=\"5 5\""
        // What is predicted fades with its confidence.
        let opacity = link.bandwidthSource == .measured ? 1 : 0.4 + 0.4 * max(0, min(1, link.confidence))
        let number = SVGCanvas.number
        let figures = [
            "\(names.0) → \(names.1): \(Bandwidth(bytesPerSecond: rate)) "
                + origin(link.bandwidthSource, link.bandwidthUncertainty),
            link.roundTripSeconds.map {
                "round trip \(Figures.seconds($0)) " + origin(link.roundTripSource, link.roundTripUncertainty)
            },
            link.ageSeconds.map { "heard \(HumanText.decimal($0, digits: 0)) s ago" },
            link.lossFraction.map { "loss \(HumanText.decimal($0 * 100, digits: 1)) %" },
            link.disagrees ? "the two ends disagree" : nil,
        ].compactMap { $0 }.joined(separator: "\n")
        canvas.add(
            "<path d=\"M\(number(from.x)) \(number(from.y)) Q\(number(bend.x)) \(number(bend.y)) \(number(to.x)) "
                + "\(number(to.y))\" fill=\"none\" stroke=\"\(scale.colour(share))\" stroke-linecap=\"round\" "
                + "stroke-width=\"\(number(1 + 6 * share))\" stroke-opacity=\"\(HumanText.decimal((0.35 + 0.5 * share) * opacity, digits: 2))\""
                + "\(dash)><title>\(SVGCanvas.escape(figures))</title></path>")
    }

    /// "measured", or "predicted by factorised, usually within 12 %".
    private static func origin(_ source: GraphView.Source, _ uncertainty: GraphView.Uncertainty?) -> String {
        guard let uncertainty else { return source.rawValue }
        let method = uncertainty.method.map { " by \($0.rawValue)" } ?? ""
        return source.rawValue + method
            + ", usually within \(HumanText.decimal(uncertainty.relativeError * 100, digits: 0)) %"
    }

    /// A circle whose area grows with the peer's speed.
    private static func drawPeer(
        _ peer: GraphView.Peer, at point: SIMD2<Double>, fastest: Double, on canvas: inout SVGCanvas
    ) {
        let radius = 10 + 14 * sqrt(fastest > 0 ? peer.flopsPerSecond / fastest : 0)
        let number = SVGCanvas.number
        let name = GraphText.label(peer)
        let figures = """
            \(name) (\(peer.peer.prefix(10)))
            \(Figures.significant(peer.flopsPerSecond / 1e9)) GFLOP/s, \(peer.cores) cores, \
            \(Figures.bytes(Double(peer.memoryBytes))) memory\(peer.onBattery ? ", on battery" : "")
            """
        canvas.add(
            "<circle cx=\"\(number(point.x))\" cy=\"\(number(point.y))\" r=\"\(number(radius))\" fill=\"#ffffff\" "
                + "stroke=\"\(SVGCanvas.ink)\" stroke-width=\"2.5\"\(peer.onBattery ? " stroke-dasharray=\"4 3\"" : "")>"
                + "<title>\(SVGCanvas.escape(figures))</title></circle>")
        canvas.add(
            "<text x=\"\(number(point.x))\" y=\"\(number(point.y + radius + 17))\" font-size=\"14\" font-weight=\"600\" "
                + "text-anchor=\"middle\" fill=\"\(SVGCanvas.ink)\" stroke=\"#ffffff\" stroke-width=\"4\" "
                + "paint-order=\"stroke\">\(SVGCanvas.escape(name))</text>")
    }

    private static func drawLegend(_ scale: RateScale, isCrowded: Bool, on canvas: inout SVGCanvas) {
        let y = height - 34
        canvas.line((32, y - 26), (width - 32, y - 26), stroke: SVGCanvas.grid, width: 1)
        var x = 32.0
        for rate in scale.marks {
            let share = scale.share(rate)
            canvas.line((x, y), (x + 34, y), stroke: scale.colour(share), width: 1 + 6 * share)
            canvas.text(Bandwidth(bytesPerSecond: rate).description, at: (x + 42, y + 4), size: 12)
            x += 142
        }
        if isCrowded {
            canvas.text("predicted links are not drawn", at: (x + 8, y + 4), size: 12, fill: SVGCanvas.faint)
        } else {
            canvas.line((x + 8, y), (x + 42, y), stroke: SVGCanvas.faint, width: 2.5, dash: "5 5")
            canvas.text("predicted", at: (x + 50, y + 4), size: 12)
        }
        canvas.text(
            "distance grows with round trip, circles with speed", at: (width - 32, y + 4), size: 12, anchor: "end",
            fill: SVGCanvas.faint)
    }
}

/// Maps rates on thickness and colour by their logarithm.
private struct RateScale {
    private let low: Double
    private let high: Double

    init(_ rates: [Double]) {
        let usable = rates.filter { $0 > 0 && $0.isFinite }
        low = log10(usable.min() ?? 1e5)
        high = max(log10(usable.max() ?? 1e9), low + 0.3)
    }

    /// 0 for the slowest link, 1 for the fastest.
    func share(_ rate: Double) -> Double { rate > 0 ? max(0, min(1, (log10(rate) - low) / (high - low))) : 0 }

    /// The slowest rate, the fastest, and one between.
    var marks: [Double] { [low, (low + high) / 2, high].map { pow(10, $0) } }

    /// From warm orange (slow) over teal to deep blue (fast).
    func colour(_ share: Double) -> String {
        let stops: [(Double, Double, Double)] = [(230, 126, 34), (26, 152, 136), (36, 72, 168)]
        let position = share * Double(stops.count - 1)
        let index = min(Int(position), stops.count - 2)
        let rest = position - Double(index)
        func mix(_ from: Double, _ to: Double) -> String {
            let digits = String(Int((from + (to - from) * rest).rounded()), radix: 16)
            return digits.count < 2 ? "0" + digits : digits
        }
        let (from, to) = (stops[index], stops[index + 1])
        return "#" + mix(from.0, to.0) + mix(from.1, to.1) + mix(from.2, to.2)
    }
}
