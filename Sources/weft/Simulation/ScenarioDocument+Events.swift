import Primitives
import Simulation

extension ScenarioDocument.Event {
    /// The step that the event stands for.
    func step(peers: Int, profile: NetworkProfile) throws -> ScenarioScript.Step {
        let at = try ScenarioDocument.duration(atSeconds, "atSeconds")
        return ScenarioScript.Step(at: at, action: try action(peers: peers, profile: profile))
    }

    private func action(peers count: Int, profile: NetworkProfile) throws -> ScenarioScript.Action {
        switch `do` {
        case "crash": return .crash(try list(count))
        case "leave": return .leave(try list(count))
        case "restart": return .restart(try list(count))
        case "restart-empty": return .restartEmpty(try list(count))
        case "pause": return .pause(try list(count), try length())
        case "partition":
            var isInside = Array(repeating: false, count: count)
            for peer in try list(count) { isInside[peer] = true }
            return .partition(Partition(isInside: isInside, direction: try cut()))
        case "heal": return .heal
        case "network":
            guard let network else { throw CommandFailure("\"network\" is missing") }
            return .network(try network.profile(from: profile))
        case "churn":
            guard let percentPerMinute else { throw CommandFailure("\"percentPerMinute\" is missing") }
            let share = try ScenarioDocument.bounded(percentPerMinute, 0...6000, "percentPerMinute") / 100
            return .churn(sharePerMinute: share, try length())
        case "publish":
            return .publish(
                try list(count), byteCount: try ScenarioDocument.bounded(bytes ?? 32, 0...960, "bytes"))
        default:
            throw CommandFailure(
                "nothing is called \"\(`do`)\": crash, leave, restart, restart-empty, pause, partition, heal, network, "
                    + "churn and publish are")
        }
    }

    private func length() throws -> Duration {
        guard let forSeconds else { throw CommandFailure("\"forSeconds\" is missing") }
        return try ScenarioDocument.duration(forSeconds, "forSeconds")
    }

    private func cut() throws -> Partition.Direction {
        switch direction ?? "both" {
        case "both": return .both
        case "outward": return .outward
        case "inward": return .inward
        default: throw CommandFailure("\"direction\" must be both, outward or inward")
        }
    }

    /// "3", "3-7" or "1,4,8-10".
    private func list(_ count: Int) throws -> [Int] {
        guard let peers else { throw CommandFailure("\"peers\" is missing") }
        var result: [Int] = []
        for part in peers.split(separator: ",") {
            let bounds = part.split(separator: "-").map { Int($0.trimmingPrefix { $0 == " " }) }
            guard let first = bounds.first ?? nil, let last = bounds.last ?? nil, bounds.count <= 2, first >= 0,
                first <= last, last < count
            else {
                throw CommandFailure(
                    "\"\(part)\" names no peers: write 3, 3-7 or 1,4,8-10 with numbers from 0 to \(count - 1)")
            }
            result += first...last
        }
        guard !result.isEmpty else { throw CommandFailure("\"peers\" is empty") }
        return result
    }
}

extension ScenarioDocument.Network {
    /// A profile changed by the keys that are there.
    func profile(from base: NetworkProfile) throws -> NetworkProfile {
        var result = base
        switch kind {
        case nil: break
        case "world": result = .world
        case "local": result = .local
        default: throw CommandFailure("\"kind\" of a network must be world or local")
        }
        func share(_ percent: Double?, _ key: String, _ path: WritableKeyPath<NetworkProfile, Double>) throws {
            guard let percent else { return }
            result[keyPath: path] = try ScenarioDocument.bounded(percent, 0...100, key) / 100
        }
        func time(_ milliseconds: Double?, _ key: String, _ path: WritableKeyPath<NetworkProfile, Duration>) throws {
            guard let milliseconds else { return }
            result[keyPath: path] = try Self.time(milliseconds, key)
        }
        try time(minimumDelayMilliseconds, "minimumDelayMilliseconds", \.minimumDelay)
        try time(maximumDelayMilliseconds, "maximumDelayMilliseconds", \.maximumDelay)
        guard result.minimumDelay <= result.maximumDelay else {
            throw CommandFailure("\"minimumDelayMilliseconds\" is more than \"maximumDelayMilliseconds\"")
        }
        try share(jitterPercent, "jitterPercent", \.jitterShare)
        try share(lossPercent, "lossPercent", \.loss)
        try share(duplicationPercent, "duplicationPercent", \.duplication)
        try share(corruptionPercent, "corruptionPercent", \.corruption)
        try share(reorderingPercent, "reorderingPercent", \.reordering)
        try time(reorderingMilliseconds, "reorderingMilliseconds", \.reorderingDelay)
        try time(queueMilliseconds, "queueMilliseconds", \.queueTime)
        if let uplinkMegabits { result.uplinks = try Self.rates(uplinkMegabits, "uplinkMegabits") }
        if let downlinkMegabits { result.downlinks = try Self.rates(downlinkMegabits, "downlinkMegabits") }
        if let bursts {
            let good = try Self.time(bursts.goodMilliseconds, "goodMilliseconds")
            let bad = try Self.time(bursts.badMilliseconds, "badMilliseconds")
            guard good > .zero, bad > .zero else { throw CommandFailure("bursts need times above zero") }
            result.bursts = BurstLoss(
                good: good, bad: bad,
                lossWhenBad: try ScenarioDocument.bounded(bursts.lossPercent, 0...100, "lossPercent") / 100)
        }
        return result
    }

    private static func time(_ milliseconds: Double, _ key: String) throws -> Duration {
        .nanoseconds(Int64(try ScenarioDocument.bounded(milliseconds, 0...1e6, key) * 1e6))
    }

    private static func rates(_ megabits: [Double], _ key: String) throws -> [Bandwidth] {
        guard !megabits.isEmpty else { throw CommandFailure("\"\(key)\" is empty") }
        return try megabits.map {
            Bandwidth(bitsPerSecond: try ScenarioDocument.bounded($0, 0.01...1e6, key) * 1e6)
        }
    }
}
