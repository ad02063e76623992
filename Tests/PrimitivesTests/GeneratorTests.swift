import Primitives
import Testing

/// The seeded generator and the clock's arithmetic.
@Suite struct GeneratorTests {
    /// xoshiro256** after SplitMix64 of seed 0, from an independent implementation in Python.
    @Test func sequenceIsThatOfThePaper() {
        var generator = SeededGenerator(seed: 0)
        #expect(
            (0..<4).map { _ in generator.next() } == [
                0x99EC_5F36_CB75_F2B4, 0xBF6E_1F78_4956_452A, 0x1A5F_849D_4933_E6E0, 0x6AA5_94F1_262D_2D2C,
            ])
    }

    @Test func unitAndIndexStayInRange() {
        var generator = SeededGenerator(seed: 3)
        var counts = [Int](repeating: 0, count: 7)
        for _ in 0..<7000 {
            #expect((0..<1).contains(generator.unit()))
            counts[generator.index(below: 7)] += 1
        }
        for (value, count) in counts.enumerated() {
            #expect((850...1150).contains(count), "\(value) came \(count) times of an expected 1000")
        }
    }

    @Test func shuffleKeepsElementsAndMovesThem() {
        var generator = SeededGenerator(seed: 4)
        var elements = Array(0..<50)
        generator.shuffle(&elements)
        #expect(elements != Array(0..<50))
        #expect(elements.sorted() == Array(0..<50))
        var again = Array(0..<50)
        var same = SeededGenerator(seed: 4)
        same.shuffle(&again)
        #expect(again == elements)
    }

    @Test func splitSequencesDiffer() {
        var generator = SeededGenerator(seed: 5)
        var first = generator.split()
        var second = generator.split()
        #expect((0..<8).map { _ in first.next() } != (0..<8).map { _ in second.next() })
    }

    @Test func instantsAddAndSubtract() {
        let start = Instant(nanoseconds: 5)
        #expect(start + .milliseconds(2) == Instant(nanoseconds: 2_000_005))
        #expect((start + .seconds(3)) - start == .seconds(3))
        #expect(start < start + .nanoseconds(1))
        #expect(Duration.milliseconds(1500).seconds == 1.5)
        #expect(Duration.microseconds(1500).milliseconds == 1.5)
        #expect(Duration.seconds(Int64.max).nanoseconds == .max)
        #expect(Duration.seconds(Int64.min).nanoseconds == .min)
    }

    @Test func secretsCompareAndCopy() {
        let secret = SecretBytes(copying: [1, 2, 3])
        let copy = secret.duplicate()
        let other = SecretBytes(copying: [1, 2, 4])
        let shorter = SecretBytes(copying: [1, 2])
        let answers = [secret.equals(copy), secret.equals(other), secret.equals(shorter)]
        #expect(answers == [true, false, false])
        #expect(equalInConstantTime([1, 2], [1, 2]) && !equalInConstantTime([1, 2], [1, 3]))
        #expect(equalInConstantTime([], []) && !equalInConstantTime([1], []))
        var bytes: [UInt8] = [9, 9]
        eraseBytes(&bytes)
        #expect(bytes.isEmpty)
    }
}
