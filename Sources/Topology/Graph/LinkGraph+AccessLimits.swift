extension LinkGraph {
    /// Links that must agree before they count as evidence of a shared access link.
    private static let fewestLinks = 3
    /// Share of a peer's measured links that must be about as fast as its fastest one.
    private static let agreeingShare = 0.75
    /// How much slower "about as fast" may be.
    private static let tolerance = 0.25

    /// The graph with access links guessed where the measurements show one: if nearly all of a peer's links in one direction
    /// have the same rate, whoever is at the other end, then what they have in common limits them, and they share it.
    ///
    /// A wrong guess makes predictions of simultaneous transfers too slow, a missing one too fast. Known access rates stay.
    package func inferringAccessLimits() -> LinkGraph {
        var graph = self
        for peer in 0..<count {
            let others = (0..<count).filter { $0 != peer }
            if graph.nodes[peer].uplinkBytesPerSecond == nil {
                graph.nodes[peer].uplinkBytesPerSecond = commonRate(others.map { position(from: peer, to: $0) })
            }
            if graph.nodes[peer].downlinkBytesPerSecond == nil {
                graph.nodes[peer].downlinkBytesPerSecond = commonRate(others.map { position(from: $0, to: peer) })
            }
        }
        return graph
    }

    private func commonRate(_ positions: [Int]) -> Double? {
        let measured = positions.map { rates[$0] }.filter { $0.source == .measured && $0.value > 0 }.map(\.value)
        guard measured.count >= Self.fewestLinks, let fastest = measured.max() else { return nil }
        let agreeing = measured.filter { $0 >= fastest * (1 - Self.tolerance) }
        return Double(agreeing.count) >= Double(measured.count) * Self.agreeingShare ? fastest : nil
    }
}
