import Control
import Simulation

/// `weft simulate --plot`: how beliefs converge over the run, how long deaths took to be known, and traffic.
enum SimulationPlot {
    /// A drawing of one or more reports of the same scenario.
    static func document(_ reports: [SimulationReport]) -> String {
        let convergence = SeriesPlot.Panel(
            title: "Wrong beliefs", xLabel: "virtual seconds", yLabel: "% of ordered pairs of peers",
            series: reports.map { report in
                SeriesPlot.Series(
                    name: name(report), points: (report.timeline ?? []).map { ($0.seconds, $0.wrongShare * 100) })
            })
        var panels = [convergence]
        let detected = reports.filter { $0.detections?.isEmpty == false }
        if !detected.isEmpty {
            panels.append(
                SeriesPlot.Panel(
                    title: "Deaths known", xLabel: "seconds after the crash", yLabel: "% of observers",
                    series: detected.map { SeriesPlot.Series(name: name($0), points: shares($0.detections ?? [])) }))
        }
        panels.append(
            SeriesPlot.Panel(
                title: "Traffic", xLabel: "virtual seconds", yLabel: "bytes/s sent by the average peer",
                series: reports.map { report in
                    SeriesPlot.Series(
                        name: name(report),
                        points: (report.timeline ?? []).map { ($0.seconds, $0.bytesPerPeerPerSecond) })
                }))
        let first = reports.first.map { "\($0.name ?? $0.scenario.rawValue), \($0.peers) peers" } ?? "nothing"
        return SeriesPlot(title: "weft simulate: \(first)", panels: panels).document
    }

    private static func name(_ report: SimulationReport) -> String { "seed \(report.seed)" }

    /// The distribution of sorted times, as a staircase from zero to all.
    private static func shares(_ times: [Double]) -> [(x: Double, y: Double)] {
        var points: [(x: Double, y: Double)] = [(0, 0)]
        for (index, time) in times.enumerated() {
            points.append((time, Double(index) / Double(times.count) * 100))
            points.append((time, Double(index + 1) / Double(times.count) * 100))
        }
        return points
    }
}
