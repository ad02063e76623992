/// Relays that gather parts of slices on their way and send totals on (`SliceTree`).
extension IterationSimulator {
    /// Sends a holder's part of a slice to the relay that gathers it.
    mutating func sendToRelay(
        _ segment: Int, addedUpBy adder: Int, from source: Int, relay: Int, of tree: SliceTree, at time: Double
    ) {
        let target = tree.relays[relay]
        if target == source {
            gatheredDone(segment, addedUpBy: adder, relay: relay, at: time)
        } else {
            sendSlice(
                segment, addedUpBy: adder, from: source, to: target,
                tag: .gathered(segment: segment, adder: adder, relay: relay), at: time)
        }
    }

    /// A part has come to a relay, which sends the sum on when all are there.
    mutating func gatheredDone(_ segment: Int, addedUpBy adder: Int, relay: Int, at time: Double) {
        guard let tree = spread?.exchange.tree(segment, adder) else { return }
        let position = segment * tables.peers + adder
        spread?.gathered[position, default: tree.relays.map { _ in 0 }][relay] += 1
        guard spread?.gathered[position]?[relay] == tree.relayOfHolder.count(where: { $0 == relay }) else { return }
        sendSlice(
            segment, addedUpBy: adder, from: tree.relays[relay], to: adder,
            tag: .part(segment: segment, peer: adder), at: time)
    }

    /// A total has come to a relay.
    mutating func returnedDone(_ segment: Int, addedUpBy adder: Int, relay: Int, at time: Double) {
        guard let holders = spread?.holders[segment], let tree = spread?.exchange.tree(segment, adder) else { return }
        for (index, holder) in holders.enumerated() where tree.relayOfHolder[index] == relay {
            let target = peer(of: holder)
            if target == tree.relays[relay] {
                totalDone(segment, holder: index, at: time)
            } else {
                sendSlice(
                    segment, addedUpBy: adder, from: tree.relays[relay], to: target,
                    tag: .total(segment: segment, holder: index), at: time)
            }
        }
    }
}
