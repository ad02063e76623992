import Foundation
import Simulation

/// Reads measured networks, to hold predictions against.
///
/// Either JSON with `rtt_ms` and perhaps `bandwidth_gbps`, two square matrices, or plain text: one row of round trips in
/// milliseconds a line, separated by spaces, tabs or commas, as measured sets are usually published. What is not a positive
/// number is unknown.
enum NetworkFile {
    /// Larger sets would take minutes a run.
    private static let largestPeers = 2048

    private struct Document: Decodable {
        var roundTrips: [[Double?]]
        var rates: [[Double?]]?

        enum CodingKeys: String, CodingKey {
            case roundTrips = "rtt_ms"
            case rates = "bandwidth_gbps"
        }
    }

    static func read(_ path: String) throws -> TrueNetwork {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw CommandFailure("cannot read \(path): is there such a file, and may you read it?")
        }
        let name = URL(filePath: path).deletingPathExtension().lastPathComponent
        if data.first(where: { $0 > UInt8(ascii: " ") }) == UInt8(ascii: "{") {
            do {
                let document = try JSONDecoder().decode(Document.self, from: data)
                return try network(name, path, document.roundTrips, rates: document.rates ?? [])
            } catch let error as DecodingError {
                throw CommandFailure("\(path) has no matrix \"rtt_ms\" that can be read: \(error)")
            }
        }
        let rows = String(decoding: data, as: UTF8.self).split(whereSeparator: \.isNewline).map { line in
            line.split(whereSeparator: { $0 == "," || $0 == ";" || $0.isWhitespace }).map { Double($0) }
        }
        return try network(name, path, rows.filter { !$0.isEmpty }, rates: [])
    }

    private static func network(
        _ name: String, _ path: String, _ rows: [[Double?]], rates: [[Double?]]
    ) throws -> TrueNetwork {
        let count = rows.count
        guard (3...largestPeers).contains(count), rows.allSatisfy({ $0.count == count }) else {
            throw CommandFailure(
                "\(path): round trips must be a square matrix of 3 to \(largestPeers) rows; it has \(count) rows of "
                    + "\(Set(rows.map(\.count)).sorted().map(String.init).joined(separator: " or ")) figures")
        }
        guard rates.isEmpty || rates.count == count && rates.allSatisfy({ $0.count == count }) else {
            throw CommandFailure("\(path): the bandwidths are not a matrix of \(count) by \(count)")
        }
        func values(_ matrix: [[Double?]], _ factor: Double) -> [Double] {
            matrix.flatMap { $0.map { value in value.map { $0.isFinite && $0 > 0 ? $0 * factor : 0 } ?? 0 } }
        }
        return TrueNetwork(
            name: name, count: count, roundTrips: values(rows, 0.001), rates: values(rates, 1e9 / 8))
    }
}
