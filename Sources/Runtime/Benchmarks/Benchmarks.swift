internal import Compute
internal import Foundation
internal import Noise
internal import Overlay
internal import Primitives
internal import Wire

/// Measurements of this machine that anyone can repeat: the parts behind `weft bench`.
package enum Benchmarks {
    /// Runs all of them, telling `progress` what comes next. Takes about half a minute at `seconds` = 1.
    package static func run(
        version: String, seconds: Double, progress: (String) -> Void
    ) async throws -> BenchmarkReport {
        var report = BenchmarkReport(version: version, processors: ProcessInfo.processInfo.activeProcessorCount)
        progress("streams over loopback, plain and sealed")
        report.streams = try await StreamBenchmark.run(seconds: seconds)
        progress("datagrams over loopback")
        report.echoesPerSecond = try await DatagramBenchmark.echoesPerSecond(seconds: seconds)
        progress("handshakes")
        report.handshakesPerSecond = try handshakesPerSecond(seconds: seconds)
        progress("signed entries")
        report.entriesVerifiedPerSecond = try entriesVerifiedPerSecond(seconds: seconds)
        progress("matrix multiplication")
        let size = seconds < 0.5 ? 96 : 960
        let product = GEMMBenchmark.run(m: size, n: size, k: size) { MonotonicClock.now.nanoseconds.seconds }
        report.multiplication = .init(
            instructionSet: product.instructionSet, shape: [product.m, product.n, product.k],
            blockedGigaflops: product.blockedFlopsPerSecond / 1e9, naiveGigaflops: product.naiveFlopsPerSecond / 1e9,
            sameBits: product.sameBits)
        return report
    }

    /// New sessions between two tables, from the first payload to its delivery; both sides on this thread.
    static func handshakesPerSecond(seconds: Double) throws -> Double {
        let (first, second) = (try identity(), try identity())
        let secret = try secret()
        let address = NetworkAddress(ipv4: (127, 0, 0, 1), port: 1)
        var configuration = SessionConfiguration()
        configuration.handshakesPerSecondBeforeLoad = .max
        configuration.minimumInitiationInterval = .zero
        func table(_ identity: LocalIdentity) -> SessionTable {
            SessionTable(
                identity: identity, secret: secret, configuration: configuration, entropy: SystemEntropy(),
                wallClockMilliseconds: MonotonicClock.wallMilliseconds, at: MonotonicClock.now)
        }
        let (one, two) = (table(first), table(second))
        let contact = Contact(peer: second.peer, agreementKey: second.agreementPublicKey, addresses: [address])
        var count = 0
        let start = MonotonicClock.now
        while (MonotonicClock.now - start).seconds < seconds {
            let now = MonotonicClock.now
            var effects: [SessionTable.Effect] = []
            // A fresh acquaintance on both sides, so that signatures are checked too.
            one.handle(.forget(second.peer), at: now, into: &effects)
            two.handle(.forget(first.peer), at: now, into: &effects)
            one.handle(.learn(contact), at: now, into: &effects)
            one.handle(.send([1], to: second.peer), at: now, into: &effects)
            var isAtSecond = true
            var delivered = false
            while !effects.isEmpty {
                var answers: [SessionTable.Effect] = []
                for effect in effects {
                    if case .transmit(let bytes, _) = effect {
                        (isAtSecond ? two : one).handle(.datagram(bytes, from: address), at: now, into: &answers)
                    }
                    if case .deliver = effect { delivered = true }
                }
                isAtSecond.toggle()
                effects = answers
            }
            guard delivered else { throw BenchmarkError.failed("a handshake did not complete") }
            count += 1
        }
        return Double(count) / (MonotonicClock.now - start).seconds
    }

    static func entriesVerifiedPerSecond(seconds: Double) throws -> Double {
        let signer = try identity().signer
        let entries = (0..<64).map {
            SignedEntry(
                key: EntryKey(kind: 0x80, index: UInt8($0)), version: 1,
                value: [UInt8](repeating: UInt8($0), count: 256), signer: signer)
        }
        var count = 0
        let start = MonotonicClock.now
        while (MonotonicClock.now - start).seconds < seconds {
            for entry in entries where !entry.isAuthentic(signer) {
                throw BenchmarkError.failed("a signature did not verify")
            }
            count += entries.count
        }
        return Double(count) / (MonotonicClock.now - start).seconds
    }

    static func identity() throws -> LocalIdentity {
        let entropy = SystemEntropy()
        guard let key = IdentityKey(seed: entropy.secretBytes(count: 32)),
            let agreement = AgreementKey(secret: entropy.secretBytes(count: 32))
        else { throw BenchmarkError.failed("no key could be made") }
        return LocalIdentity(identity: key, agreement: agreement)
    }

    static func secret() throws -> SwarmSecret {
        guard let secret = SwarmSecret(SystemEntropy().secretBytes(count: SwarmSecret.byteCount)) else {
            throw BenchmarkError.failed("no secret could be made")
        }
        return secret
    }
}

/// A benchmark whose subject did not work.
package enum BenchmarkError: Error, Hashable, Sendable, CustomStringConvertible {
    case failed(String)

    package var description: String {
        switch self {
        case .failed(let reason): "the benchmark could not be run: \(reason)"
        }
    }
}

extension Int64 {
    /// Nanoseconds as seconds.
    fileprivate var seconds: Double { Double(self) * 1e-9 }
}
