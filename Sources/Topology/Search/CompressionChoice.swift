/// Which links a plan leaves uncompressed: as many as the iteration's time allows, those with the most time to spare
/// first, because compression costs accuracy.
struct CompressionChoice {
    let tables: CostTables

    /// How much longer an iteration may take for sending more links' tensors as they are.
    private static let tolerance = 0.001

    /// The layout with its plain links chosen, by bisection over the links in the order of the time they would be busy.
    func relaxed(_ layout: Layout) -> Layout {
        guard tables.compression.isLossy else { return layout }
        var layout = layout
        layout.plainLinks = []
        let trace = IterationSimulator.run(layout, tables: tables)
        let limit = trace.seconds * (1 + Self.tolerance)
        let links = trace.links.sorted {
            ($0.busySeconds, $0.source, $0.target) < ($1.busySeconds, $1.source, $1.target)
        }.map { $0.source * tables.peers + $0.target }
        var known = 0
        var step = links.count
        while step > 0 {
            let count = min(links.count, known + step)
            var trial = layout
            trial.plainLinks = Set(links.prefix(count))
            if count > known, IterationSimulator.run(trial, tables: tables).seconds <= limit { known = count }
            step /= 2
        }
        layout.plainLinks = Set(links.prefix(known))
        return layout
    }
}
