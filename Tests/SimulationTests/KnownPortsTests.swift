import Primitives
import Testing

@testable import Simulation

@Suite("Ports that a simulated peer knows")
struct KnownPortsTests {
    @Test("They answer like a dictionary")
    func model() {
        var generator = SeededGenerator(seed: 1)
        var ports = KnownPorts(peers: 130)
        var model: [Int: UInt32] = [:]
        func announced(_ peer: Int) -> UInt32 { UInt32(peer % 3) }
        for step in 0..<3000 {
            let peer = generator.index(below: 130)
            let port = UInt32(generator.index(below: 3))
            ports.set(port, of: peer, announced: announced(peer))
            model[peer] = port
            if step == 1500 {
                ports.removeAll()
                model = [:]
            }
            guard step % 50 == 0 else { continue }
            let known = (0..<130).filter { ports.contains($0) }
            #expect(known == model.keys.sorted(), "step \(step)")
            #expect(
                known.map { ports.port(of: $0, announced: announced($0)) } == known.map { model[$0] }, "step \(step)")
        }
        #expect(model.count > 60, "the test knows somebody")
    }
}
