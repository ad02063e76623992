import Primitives
import Testing

@testable import Runtime

struct JobMailboxTests {
    private static let sender = PeerID(bytes: [UInt8](repeating: 7, count: 32))

    @Test func aFullLaneHoldsItsDepositorAndNoOther() async throws {
        let sender = try #require(Self.sender)
        let mailbox = JobMailbox<Int>(capacityPerLane: 1)
        await mailbox.deposit(1, from: sender, lane: 0)
        let held = Task { await mailbox.deposit(2, from: sender, lane: 0) }
        // Another lane has room although lane 0 is full and someone waits for it.
        await mailbox.deposit(3, from: sender, lane: 1)
        var received: [Int] = []
        for _ in 0..<3 { received.append(try #require(await mailbox.next()).message) }
        await held.value
        #expect(received.sorted() == [1, 2, 3])
        #expect(received.first == 1, "the first deposit is the first out")
    }

    @Test func closingFreesEveryone() async throws {
        let sender = try #require(Self.sender)
        let mailbox = JobMailbox<Int>(capacityPerLane: 1)
        await mailbox.deposit(1, from: sender, lane: 0)
        let held = Task { await mailbox.deposit(2, from: sender, lane: 0) }
        await mailbox.close()
        await held.value
        #expect(await mailbox.next() == nil, "nothing comes out of a closed mailbox")
    }

    @Test func aWaitingReaderGetsTheNextDeposit() async throws {
        let sender = try #require(Self.sender)
        let mailbox = JobMailbox<Int>(capacityPerLane: 4)
        let reader = Task { await mailbox.next()?.message }
        await mailbox.deposit(5, from: sender, lane: 0)
        #expect(await reader.value == 5)
        #expect(await mailbox.nextIfWaiting() == nil)
    }
}
