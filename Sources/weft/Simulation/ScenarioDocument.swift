import Foundation
import Primitives
import Simulation
import Wire

/// The file of `weft simulate --file`, as docs/SIMULATION.md describes it.
struct ScenarioDocument: Decodable {
    static let format = "weft.scenario/1"
    /// Larger files are no scenarios.
    static let maximumBytes = 1 << 20
    static let maximumEvents = 10_000

    struct Network: Decodable {
        struct Bursts: Decodable {
            var goodMilliseconds: Double
            var badMilliseconds: Double
            var lossPercent: Double
        }

        var kind: String?
        var minimumDelayMilliseconds: Double?
        var maximumDelayMilliseconds: Double?
        var jitterPercent: Double?
        var lossPercent: Double?
        var bursts: Bursts?
        var duplicationPercent: Double?
        var corruptionPercent: Double?
        var reorderingPercent: Double?
        var reorderingMilliseconds: Double?
        var uplinkMegabits: [Double]?
        var downlinkMegabits: [Double]?
        var queueMilliseconds: Double?
    }

    struct Clocks: Decodable {
        var driftPartsPerMillion: Int?
        var offsetSeconds: Double?
    }

    struct Event: Decodable {
        var atSeconds: Double
        var `do`: String
        var peers: String?
        var forSeconds: Double?
        var direction: String?
        var network: Network?
        var percentPerMinute: Double?
        var bytes: Int?
    }

    struct Expectation: Decodable {
        var joinSeconds: Double?
        var healSeconds: Double?
        var medianDetectionSeconds: Double?
        var falseDeaths: Int?
        var bytesPerPeerPerSecond: Double?
    }

    var format: String
    var name: String?
    var peers: Int
    var seed: UInt64?
    var network: Network?
    var clocks: Clocks?
    /// Address translators by kind: how many of the last peers are behind each.
    var nats: [String: Int]?
    var measureBandwidth: Bool?
    var measureLinks: Bool?
    /// Whether everybody knows everybody at the beginning.
    var settled: Bool?
    var lastsSeconds: Double?
    var events: [Event]?
    var expect: Expectation?

    /// Reads a file. Throws a `CommandFailure` that says what is wrong with it.
    static func options(path: String) throws -> ScenarioOptions {
        let data: Data
        do { data = try Data(contentsOf: URL(filePath: path)) } catch {
            throw CommandFailure("cannot read \(path): \(error.localizedDescription)")
        }
        guard data.count <= maximumBytes else {
            throw CommandFailure("\(path) has \(data.count) bytes; a scenario has at most \(maximumBytes)")
        }
        do {
            return try JSONDecoder().decode(ScenarioDocument.self, from: data).options()
        } catch let error as DecodingError {
            throw CommandFailure(
                "\(path) is not a scenario: \(DecodingFailureText.describe(error)) (see docs/SIMULATION.md)")
        } catch let error as CommandFailure { throw CommandFailure("\(path): \(error.description)") }
    }

    /// The options with the script; checked.
    func options() throws -> ScenarioOptions {
        guard format == Self.format else {
            throw CommandFailure("the format is \"\(format)\"; this version reads \"\(Self.format)\"")
        }
        guard (2...Limits.members).contains(peers) else {
            throw CommandFailure("\"peers\" must be from 2 to \(Limits.members)")
        }
        let events = events ?? []
        guard events.count <= Self.maximumEvents else {
            throw CommandFailure("\(events.count) events; at most \(Self.maximumEvents) are played")
        }
        var options = ScenarioOptions(scenario: .script, peers: peers, seed: seed ?? 1)
        options.profile = try network?.profile(from: .world) ?? .world
        options.clocks = ClockProfile(
            driftPartsPerMillion: try Self.bounded(
                clocks?.driftPartsPerMillion ?? 0, 0...100_000, "driftPartsPerMillion"),
            offset: .milliseconds(Int(try Self.bounded(clocks?.offsetSeconds ?? 0, 0...1e6, "offsetSeconds") * 1000)))
        options.nats = try natKinds()
        options.measuresBandwidth = measureBandwidth ?? false
        options.measuresLinks = measureLinks ?? true
        options.startsSettled = settled ?? false
        let steps = try events.enumerated().map { number, event in
            do { return try event.step(peers: peers, profile: options.profile) } catch let error as CommandFailure {
                throw CommandFailure("event \(number + 1): \(error.description)")
            }
        }
        var expectation = ScenarioScript.Expectation()
        expectation.joinSeconds = expect?.joinSeconds
        expectation.healSeconds = expect?.healSeconds
        expectation.medianDetectionSeconds = expect?.medianDetectionSeconds
        expectation.falseDeaths = expect?.falseDeaths
        expectation.bytesPerPeerPerSecond = expect?.bytesPerPeerPerSecond
        options.script = ScenarioScript(
            name: name ?? "scenario", steps: steps, lasts: try Self.duration(lastsSeconds ?? 0, "lastsSeconds"),
            expectation: expectation)
        return options
    }

    private func natKinds() throws -> [NATBox.Kind] {
        var kinds: [NATBox.Kind] = []
        for (name, count) in (nats ?? [:]).sorted(by: { $0.key < $1.key }) {
            guard let kind = NATBox.Kind(rawValue: name) else {
                let names = NATBox.Kind.allCases.map(\.rawValue).joined(separator: ", ")
                throw CommandFailure("there is no address translator \"\(name)\"; kinds are \(names)")
            }
            guard count >= 0, kinds.count + count < peers else {
                throw CommandFailure("\"nats\" must leave at least the first of \(peers) peers without one")
            }
            kinds += Array(repeating: kind, count: count)
        }
        return kinds
    }

    static func bounded<Value: Comparable>(_ value: Value, _ range: ClosedRange<Value>, _ key: String) throws -> Value {
        guard range.contains(value) else {
            throw CommandFailure("\"\(key)\" must be from \(range.lowerBound) to \(range.upperBound), but is \(value)")
        }
        return value
    }

    static func duration(_ seconds: Double, _ key: String) throws -> Duration {
        .nanoseconds(Int64(try bounded(seconds, 0...1e6, key) * 1e9))
    }
}

/// What is wrong with a JSON file, in one line.
enum DecodingFailureText {
    static func describe(_ error: DecodingError) -> String {
        func path(_ context: DecodingError.Context) -> String {
            let path = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? ".\($0.stringValue)" }.joined()
            return path.isEmpty ? "the top" : String(path.trimmingPrefix("."))
        }
        switch error {
        case .keyNotFound(let key, let context): return "\"\(key.stringValue)\" is missing at \(path(context))"
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            return "the value at \(path(context)) has the wrong type"
        case .dataCorrupted(let context):
            return context.codingPath.isEmpty ? "it is not JSON" : "the value at \(path(context)) is out of range"
        @unknown default: return "it cannot be decoded"
        }
    }
}
