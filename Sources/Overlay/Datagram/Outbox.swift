internal import Primitives

/// What one input makes a peer send, gathered by receiver so that messages share datagrams.
struct Outbox: Sendable {
    struct Parcel: Sendable {
        let peer: PeerID
        var messages: [[UInt8]] = []
        /// Datagrams that may be filled with news and entries.
        var datagrams = 1
    }

    private var parcels: [Parcel] = []
    private var places: [PeerID: Int] = [:]  // only looked up, never iterated

    /// Adds encoded messages.
    mutating func add(_ messages: [[UInt8]], to peer: PeerID) { parcels[place(of: peer)].messages += messages }

    /// Allows so many datagrams of news and entries.
    mutating func push(to peer: PeerID, datagrams: Int) {
        let place = place(of: peer)
        parcels[place].datagrams = max(parcels[place].datagrams, datagrams)
    }

    /// Everything gathered, in the order in which the receivers were first named.
    mutating func takeAll() -> [Parcel] {
        guard !parcels.isEmpty else { return [] }
        defer {
            parcels = []
            places = [:]
        }
        return parcels
    }

    private mutating func place(of peer: PeerID) -> Int {
        if let place = places[peer] { return place }
        places[peer] = parcels.count
        parcels.append(Parcel(peer: peer))
        return parcels.count - 1
    }
}
