import Primitives

/// Makes up wide-area networks with the faults that real ones have for whoever predicts them: routes along a sparse
/// mesh of cables between cities, networks that hand over to each other far away, single detours, and access links that every
/// packet of a peer pays for.
package struct WideAreaNetwork: Sendable {
    /// What stands between the peers and the world.
    package enum Access: String, CaseIterable, Sendable {
        /// Data centres: hardly any access delay; three providers that limit what leaves them.
        case clouds
        /// Universities and offices: a few milliseconds, 100 Mbit/s to 10 Gbit/s.
        case sites
        /// Homes: more milliseconds, 10 to 1,000 Mbit/s down and less up.
        case homes
    }

    /// Centres of the inhabited world as unit vectors, and their share of the cities.
    private static let continents: [(place: SIMD3<Double>, share: Double)] = [
        (SIMD3(0.20, -0.74, 0.64), 0.17), (SIMD3(-0.37, -0.72, 0.59), 0.12), (SIMD3(0.65, 0.08, 0.76), 0.27),
        (SIMD3(-0.62, 0.52, 0.59), 0.17), (SIMD3(-0.22, 0.97, 0.08), 0.08), (SIMD3(0.24, 0.90, 0.36), 0.07),
        (SIMD3(0.62, -0.66, -0.42), 0.05), (SIMD3(-0.71, 0.42, -0.56), 0.04), (SIMD3(0.81, 0.42, -0.41), 0.03),
    ]
    private static let cities = 60
    private static let hubs = 14
    private static let carriers = 24
    /// Seconds that light takes in glass there and back for one earth radius.
    private static let secondsPerRadius = 2 * 6371.0 / 200_000

    private var generator: SeededGenerator
    private let access: Access

    /// A network of so many peers; the same arguments give the same network.
    package static func make(_ access: Access, peers: Int, seed: UInt64) -> TrueNetwork {
        var maker = WideAreaNetwork(access: access, seed: seed)
        return maker.network(peers: peers, name: "synthetic \(access.rawValue) \(peers)")
    }

    private init(access: Access, seed: UInt64) {
        self.access = access
        generator = SeededGenerator(seed: seed)
    }

    private mutating func network(peers: Int, name: String) -> TrueNetwork {
        let routes = cityRoutes()
        let homes = (0..<peers).map { _ in
            // Earlier cities have more peers.
            Int(Double(Self.cities) * generator.unit() * (0.4 + 0.6 * generator.unit()))
        }
        let carriers = (0..<peers).map { _ in generator.index(below: Self.carriers) }
        let detours = (0..<(Self.carriers * Self.carriers)).map { _ in 1 + 0.12 * generator.exponential() }
        let scale: Double =
            switch access {
            case .clouds: 0.000_2
            case .sites: 0.003
            case .homes: 0.008
            }
        let heights = (0..<peers).map { _ in 0.1 * scale + scale * generator.exponential() }
        var roundTrips = [Double](repeating: 0, count: peers * peers)
        for left in 0..<peers {
            for right in 0..<left {
                let carrier =
                    min(carriers[left], carriers[right]) * Self.carriers + max(carriers[left], carriers[right])
                let inflation = carriers[left] == carriers[right] ? 1 : detours[carrier]
                var path = routes[homes[left] * Self.cities + homes[right]] * inflation + 0.000_4
                path *= 1 + 0.12 * (generator.unit() + generator.unit() - 1)
                if generator.unit() < 0.02 { path += 0.03 * generator.exponential() }
                let roundTrip = path + heights[left] + heights[right]
                roundTrips[left * peers + right] = roundTrip
                roundTrips[right * peers + left] = roundTrip
            }
        }
        return TrueNetwork(
            name: name, count: peers, roundTrips: roundTrips, rates: rates(peers: peers, roundTrips: roundTrips))
    }

    /// Shortest round trips over the cables, row-major.
    private mutating func cityRoutes() -> [Double] {
        let count = Self.cities
        let places = (0..<count).map { _ in city() }
        func seconds(_ left: Int, _ right: Int) -> Double {
            let difference = places[left] - places[right]
            let chord = (difference * difference).sum().squareRoot()
            // The arc over a chord, to a per cent.
            return chord * (1 + chord * chord / 24 + 0.02 * chord * chord * chord * chord) * Self.secondsPerRadius
        }
        var routes = [Double](repeating: .infinity, count: count * count)
        func join(_ left: Int, _ right: Int, _ factor: Double) {
            guard left != right else { return }
            let length = min(routes[left * count + right], seconds(left, right) * factor)
            routes[left * count + right] = length
            routes[right * count + left] = length
        }
        for city in 0..<count {
            routes[city * count + city] = 0
            let near = (0..<count).filter { $0 != city }
                .sorted { (seconds(city, $0), $0) < (seconds(city, $1), $1) }
            for other in near.prefix(4) { join(city, other, 1.15 + 0.4 * generator.unit()) }
            if let hub = near.first(where: { $0 < Self.hubs }) { join(city, hub, 1.25) }
        }
        for left in 0..<Self.hubs {
            for right in 0..<left where generator.unit() < 0.55 { join(left, right, 1.1 + 0.35 * generator.unit()) }
        }
        for middle in 0..<count {
            for left in 0..<count {
                for right in 0..<count {
                    let over = routes[left * count + middle] + routes[middle * count + right]
                    if over < routes[left * count + right] { routes[left * count + right] = over }
                }
            }
        }
        return routes
    }

    private mutating func city() -> SIMD3<Double> {
        var draw = generator.unit()
        var centre = Self.continents[0].place
        for (place, share) in Self.continents {
            centre = place
            draw -= share
            if draw < 0 { break }
        }
        let place = centre + 0.5 * SIMD3(generator.unit() - 0.5, generator.unit() - 0.5, generator.unit() - 0.5)
        return place / (place * place).sum().squareRoot()
    }

    private mutating func rates(peers: Int, roundTrips: [Double]) -> [Double] {
        let providers = (0..<peers).map { _ in generator.index(below: 3) }
        let inside = [0.6e9, 1.6e9, 3.2e9]
        let leaving = [0.6e9, 1.2e9, 0.9e9]
        func choose(_ rates: [Double]) -> [Double] {
            (0..<peers).map { _ in rates[generator.index(below: rates.count)] * (0.9 + 0.2 * generator.unit()) / 8 }
        }
        let uplinks: [Double]
        let downlinks: [Double]
        switch access {
        case .clouds: (uplinks, downlinks) = (choose([16e9, 32e9]), choose([16e9, 32e9]))
        case .sites: (uplinks, downlinks) = (choose([1e8, 1e9, 1e10]), choose([1e8, 1e9, 1e10]))
        case .homes: (uplinks, downlinks) = (choose([1e7, 2e7, 4e7, 1e8, 1e9]), choose([5e7, 1e8, 2.5e8, 1e9]))
        }
        var rates = [Double](repeating: 0, count: peers * peers)
        for sender in 0..<peers {
            for receiver in 0..<peers where sender != receiver {
                var rate = min(uplinks[sender], downlinks[receiver])
                if access == .clouds {
                    let (from, to) = (providers[sender], providers[receiver])
                    let cap = from == to ? inside[from] : min(leaving[from], 1.4 * leaving[to])
                    // 64 streams fill a long path less well than a short one.
                    let reach = 1 / (1 + roundTrips[sender * peers + receiver] / 0.25)
                    rate = min(rate, cap * reach)
                }
                rates[sender * peers + receiver] = rate * (1 + 0.06 * (generator.unit() + generator.unit() - 1))
            }
        }
        return rates
    }
}

extension SeededGenerator {
    /// An exponentially distributed number of mean 1.
    fileprivate mutating func exponential() -> Double { -Elementary.log(1 - unit()) }
}
