import Primitives
import Testing

@testable import Simulation

@Suite struct NATBoxTests {
    private let start = Instant(nanoseconds: 0)

    /// Peer 5 has sent to peer 7, seen at port 0; who gets in?
    private func box(_ kind: NATBox.Kind) -> NATBox {
        var box = NATBox(kind: kind)
        let port = box.send(to: 7, port: 0, at: start)
        #expect(port == box.port(seenBy: 7))
        return box
    }

    @Test("Nobody gets in before the peer has sent anything", arguments: NATBox.Kind.allCases)
    func closed(kind: NATBox.Kind) {
        let box = NATBox(kind: kind)
        #expect(!box.admits(from: 7, port: 0, to: box.port(seenBy: 7), at: start))
    }

    @Test("Each kind filters as its name says")
    func filters() {
        func admits(_ kind: NATBox.Kind, _ sender: Int, _ port: UInt32) -> Bool {
            let box = box(kind)
            return box.admits(from: sender, port: port, to: box.announcedPort, at: start)
        }
        #expect(admits(.fullCone, 9, 3))
        #expect(admits(.restricted, 7, 3) && !admits(.restricted, 9, 0))
        #expect(admits(.portRestricted, 7, 0) && !admits(.portRestricted, 7, 3))
        // A symmetric box shows its announced port to its bootstrap peer only.
        #expect(!admits(.symmetric, 7, 0))
        let symmetric = box(.symmetric)
        #expect(symmetric.admits(from: 7, port: 0, to: symmetric.port(seenBy: 7), at: start))
    }

    @Test("A mapping dies without outgoing packets", arguments: NATBox.Kind.allCases)
    func dies(kind: NATBox.Kind) {
        let box = box(kind)
        let port = box.port(seenBy: 7)
        #expect(box.admits(from: 7, port: 0, to: port, at: start + NATBox.lifetime))
        #expect(!box.admits(from: 7, port: 0, to: port, at: start + NATBox.lifetime + .nanoseconds(1)))
    }
}
