package import NIOCore
package import Overlay
package import Primitives
package import Wire

/// The shell of the `OverlayNode` core: feeds it what arrives, performs its effects and owns its one timer.
///
/// Everything happens on the event loop of the datagram endpoint, so a packet is handled where it was read and no lock
/// is ever taken.
package final class OverlayDriver: Sendable {
    /// What the core's effects need from the outside; called on the event loop only.
    package struct Port: Sendable {
        package var send: @Sendable (_ payload: [UInt8], _ peer: PeerID) -> Void
        package var learn: @Sendable (Contact) -> Void
        package var forget: @Sendable (PeerID) -> Void
        package var renew: @Sendable (PeerID) -> Void
        package var restrict: @Sendable (AdmissionPolicy) -> Void
        package var event: @Sendable (OverlayEvent) -> Void
        package var now: @Sendable () -> Instant

        package init(
            send: @escaping @Sendable ([UInt8], PeerID) -> Void, learn: @escaping @Sendable (Contact) -> Void,
            forget: @escaping @Sendable (PeerID) -> Void, renew: @escaping @Sendable (PeerID) -> Void,
            restrict: @escaping @Sendable (AdmissionPolicy) -> Void = { _ in },
            event: @escaping @Sendable (OverlayEvent) -> Void,
            now: @escaping @Sendable () -> Instant
        ) {
            self.send = send
            self.learn = learn
            self.forget = forget
            self.renew = renew
            self.restrict = restrict
            self.event = event
            self.now = now
        }
    }

    /// An object, because to read a part of a value in a box copies the whole value, and a core has dozens of arrays to count
    /// references of.
    private final class State {
        var core: OverlayNode
        let timer: LoopTimer
        var effects: [OverlayEffect] = []
        var isStopped = false

        init(core: OverlayNode, timer: LoopTimer) {
            self.core = core
            self.timer = timer
        }
    }

    package let eventLoop: any EventLoop
    private let port: Port
    private let state: NIOLoopBoundBox<State>

    private init(eventLoop: any EventLoop, port: Port, state: NIOLoopBoundBox<State>) {
        self.eventLoop = eventLoop
        self.port = port
        self.state = state
    }

    /// Hands a core over to an event loop.
    package static func make(core: OverlayNode, on eventLoop: any EventLoop, port: Port) async throws -> OverlayDriver {
        try await eventLoop.submit {
            let timer = LoopTimer(eventLoop: eventLoop)
            let driver = OverlayDriver(
                eventLoop: eventLoop, port: port,
                state: NIOLoopBoundBox(State(core: core, timer: timer), eventLoop: eventLoop))
            timer.action = { [weak driver] in driver?.wake() }
            return driver
        }.get()
    }

    /// Feeds one input, from any thread; on the event loop it is handled at once.
    package func input(_ input: OverlayInput) {
        if eventLoop.inEventLoop {
            handle(input, at: port.now())
        } else {
            eventLoop.execute { self.handle(input, at: self.port.now()) }
        }
    }

    /// A payload that a session authenticated, with the instant at which it came to this machine. On the event loop only.
    package func deliver(_ payload: [UInt8], from peer: PeerID, at instant: Instant) {
        handle(.datagram(payload, from: peer, held: port.now() - instant), at: instant)
    }

    /// Reads the core's state on its event loop.
    package func read<Value: Sendable>(_ body: @escaping @Sendable (OverlayNode) -> Value) async throws -> Value {
        try await eventLoop.submit { body(self.state.value.core) }.get()
    }

    /// Feeds a last input and then nothing more; the timer is cancelled.
    package func stop(after last: OverlayInput?) async throws {
        try await eventLoop.submit {
            if let last { self.handle(last, at: self.port.now()) }
            let state = self.state.value
            state.isStopped = true
            state.timer.cancel()
            state.timer.action = nil
        }.get()
    }

    private func handle(_ input: OverlayInput, at now: Instant) {
        let state = state.value
        guard !state.isStopped else { return }
        var effects = state.effects
        state.effects = []
        state.core.handle(input, at: now, into: &effects)
        for effect in effects { perform(effect) }
        if state.core.hasFreshEchoes { noteDeparture() }
        effects.removeAll(keepingCapacity: true)
        state.effects = effects
        state.timer.set(state.core.deadline())
    }

    /// Sealing is done, the system call comes next.
    private func noteDeparture() {
        var effects: [OverlayEffect] = []
        state.value.core.handle(.left, at: port.now(), into: &effects)
        for effect in effects { perform(effect) }
    }

    private func perform(_ effect: OverlayEffect) {
        switch effect {
        case .send(let payload, let peer): port.send(payload, peer)
        case .learn(let contact): port.learn(contact)
        case .forget(let peer): port.forget(peer)
        case .renewSession(let peer): port.renew(peer)
        case .restrict(let policy): port.restrict(policy)
        case .event(let event): port.event(event)
        }
    }

    /// The alarm may come early: a deadline that moves back leaves it where it is, which costs less than to move it.
    private func wake() {
        let state = state.value
        let deadline = state.core.deadline()
        let now = port.now()
        if let deadline, deadline <= now { return handle(.timer, at: now) }
        state.timer.set(deadline)
    }
}

extension OverlayNode {
    /// `nextDeadline`, by a call that works on the core where it is.
    fileprivate mutating func deadline() -> Instant? { nextDeadline }
}
