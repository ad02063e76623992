/// A deterministic protocol core: no IO, no clock, no randomness of its own.
///
/// The shell (or the simulator) feeds it inputs and performs its effects; the same inputs at the same instants give the
/// same effects, byte for byte.
package protocol ProtocolCore {
    associatedtype Input
    associatedtype Effect

    /// Advances the state and appends what the shell must do. Never throws: bad input is dropped and counted.
    mutating func handle(_ input: Input, at now: Instant, into effects: inout [Effect])

    /// When the core wants to be woken; the shell owns exactly one timer for it.
    var nextDeadline: Instant? { get }
}
