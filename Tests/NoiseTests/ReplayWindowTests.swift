import Noise
import Primitives
import Testing

@Suite struct ReplayWindowTests {
    @Test func acceptsOnceAndRefusesWhatIsTooOld() {
        var window = ReplayWindow()
        func mark(_ counter: UInt64) -> Bool { window.mark(counter) }
        #expect(mark(0))
        #expect(!mark(0))
        #expect(mark(5))
        #expect(mark(3))
        #expect(!mark(3))
        let jump = ReplayWindow.size + 10
        #expect(mark(jump))
        #expect(!window.mayAccept(5))
        #expect(!window.mayAccept(10))
        #expect(window.mayAccept(11))
        #expect(mark(UInt64.max))
        #expect(!mark(UInt64.max))
        #expect(mark(UInt64.max - 1))
        #expect(!window.mayAccept(jump))
    }

    /// Against a set that remembers everything.
    @Test(arguments: UInt64(1)...20) func agreesWithAnUnboundedMemory(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var window = ReplayWindow()
        var seen: Set<UInt64> = []
        var greatest: UInt64 = 0
        var base: UInt64 = 0
        for step in 0..<5000 {
            if generator.index(below: 50) == 0 { base += UInt64(generator.index(below: 5000)) }
            base += 1
            let counter = base &- min(base, UInt64(generator.index(below: 3000)))
            let isFresh = !seen.contains(counter) && (counter > greatest || greatest - counter < ReplayWindow.size)
            let isAccepted = window.mark(counter)
            #expect(isAccepted == (isFresh || seen.isEmpty), "seed \(seed), step \(step), counter \(counter)")
            if isFresh || seen.isEmpty {
                seen.insert(counter)
                greatest = max(greatest, counter)
            }
        }
    }
}
