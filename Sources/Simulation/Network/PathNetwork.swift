import Primitives

/// The network of `PathScenario`: sites of a few peers on one LAN, each peer with an address of every kind, and for every
/// kind its own way from site to site.
struct PathNetwork {
    enum Kind: Int, CaseIterable, Sendable {
        case lan
        case six
        case four
    }

    struct Datagram {
        let bytes: [UInt8]
        let to: Int
        let source: NetworkAddress
    }

    /// One-way delay on a switch.
    private static let lanDelay = Duration.microseconds(150)
    /// One-way delay from a site to itself by way of its provider ("hairpin").
    private static let hairpinDelay: [Kind: Duration] = [.six: .milliseconds(10), .four: .milliseconds(8)]
    private static let port: UInt16 = 7600

    private let profile: NetworkProfile
    private let peersPerSite: Int
    /// One-way delays by kind (IPv6, IPv4), from site to site.
    private var delays: [[[Duration]]]
    private var failed: Set<[Int]> = []  // only looked up, never iterated
    private var generator: SeededGenerator
    private(set) var lost = 0

    /// Draws sites on a square as `SimulatedNetwork` draws peers, and for each family a detour of its own between any two.
    init(profile: NetworkProfile, peers: Int, peersPerSite: Int, generator: SeededGenerator) {
        var generator = generator
        self.profile = profile
        self.peersPerSite = peersPerSite
        let sites = (peers + peersPerSite - 1) / peersPerSite
        let places = (0..<sites).map { _ in (x: generator.unit(), y: generator.unit()) }
        let range = Double((profile.maximumDelay - profile.minimumDelay).nanoseconds)
        delays = [Kind.six, .four].map { kind in
            let hairpin = Self.hairpinDelay[kind] ?? .zero
            var matrix = Array(repeating: Array(repeating: hairpin, count: sites), count: sites)
            for one in 0..<sites {
                for other in 0..<one {
                    let (x, y) = (places[one].x - places[other].x, places[one].y - places[other].y)
                    let straight = range * ((x * x + y * y) / 2).squareRoot() * (0.8 + 0.6 * generator.unit())
                    let delay = profile.minimumDelay + .nanoseconds(Int64(straight))
                    (matrix[one][other], matrix[other][one]) = (delay, delay)
                }
            }
            return matrix
        }
        self.generator = generator
    }

    func site(_ peer: Int) -> Int { peer / peersPerSite }

    func address(_ kind: Kind, of peer: Int) -> NetworkAddress {
        let (high, low) = (UInt8(peer >> 8 & 255), UInt8(peer & 255))
        switch kind {
        case .lan: return NetworkAddress(ipv4: (192, 168, high, low), port: Self.port)
        case .six: return NetworkAddress(high: 0x2001_0DB8_0000_0000, low: UInt64(peer) + 1, port: Self.port)
        case .four: return NetworkAddress(ipv4: (203, 0, high, low), port: Self.port)
        }
    }

    /// What a peer tells others.
    func addresses(of peer: Int) -> [NetworkAddress] { Kind.allCases.map { address($0, of: peer) } }

    func kind(_ address: NetworkAddress, of peer: Int) -> Kind? {
        Kind.allCases.first { self.address($0, of: peer) == address }
    }

    /// One-way delay without jitter; `nil` if no packet arrives.
    func delay(_ kind: Kind, from one: Int, to other: Int) -> Duration? {
        guard !failed.contains([kind.rawValue, site(one)]), !failed.contains([kind.rawValue, site(other)]) else {
            return nil
        }
        guard kind != .lan else { return site(one) == site(other) ? Self.lanDelay : nil }
        return delays[kind == .six ? 0 : 1][site(one)][site(other)]
    }

    /// The least round trip between two peers.
    func leastRoundTrip(_ one: Int, _ other: Int) -> Duration? {
        Kind.allCases.compactMap { delay($0, from: one, to: other).map { $0 * 2 } }.min()
    }

    /// Lengthens the ways of one family from a site to all others.
    mutating func detour(_ kind: Kind, site: Int, by extra: Duration) {
        let family = kind == .six ? 0 : 1
        for other in 0..<delays[family].count where other != site {
            delays[family][site][other] += extra
            delays[family][other][site] += extra
        }
    }

    /// Nothing of this kind passes at a site any more.
    mutating func fail(_ kind: Kind, site: Int) { failed.insert([kind.rawValue, site]) }

    /// Sends a datagram: how long it takes, and what arrives; `nil` if it is lost or nobody is there.
    mutating func send(
        _ bytes: [UInt8], from one: Int, to address: NetworkAddress, peer other: Int
    ) -> (delay: Duration, datagram: Datagram)? {
        guard let kind = kind(address, of: other), let delay = delay(kind, from: one, to: other) else { return nil }
        guard generator.unit() >= profile.loss else {
            lost += 1
            return nil
        }
        let jitter = delay * (profile.jitterShare * generator.unit())
        return (delay + jitter, Datagram(bytes: bytes, to: other, source: self.address(kind, of: one)))
    }
}
