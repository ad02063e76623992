package import Wire

/// Which part of which step a message or a task belongs to: the training pass of a step comes before the validation that
/// follows it.
package struct StepPhase: Hashable, Comparable, Sendable {
    package enum Pass: UInt8, Sendable {
        case training = 0
        case validation = 1
    }

    /// Optimiser steps done before this one: the first step is 0.
    package var step: UInt64
    package var pass: Pass

    package init(step: UInt64, pass: Pass) {
        self.step = step
        self.pass = pass
    }

    package static func < (left: StepPhase, right: StepPhase) -> Bool {
        (left.step, left.pass.rawValue) < (right.step, right.pass.rawValue)
    }
}

extension StepPhase: CustomStringConvertible {
    package var description: String { pass == .training ? "step \(step)" : "validation after step \(step)" }
}

extension StepPhase: WireCodable {
    package func encode(to writer: inout WireWriter) {
        writer.write(step)
        writer.write(pass.rawValue)
    }

    package init(from reader: inout WireReader) throws(WireError) {
        step = try reader.read()
        guard let pass = Pass(rawValue: try reader.read()) else { throw .outOfRange }
        self.pass = pass
    }
}
