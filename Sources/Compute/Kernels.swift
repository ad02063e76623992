import CKernels

/// The reproducible vector kernels of one instruction set (see CKernels.h for the arithmetic they promise).
///
/// Every set gives the same bits, so the choice is only about speed.
// Proof for @unchecked: it points to a constant table in the program's image.
package struct Kernels: @unchecked Sendable {
    let table: UnsafePointer<weft_kernels>

    /// The widest set this machine can run.
    package static let best = Kernels(table: weft_kernels_best())

    /// Every set this machine can run, plainest first; the first is always the scalar one.
    package static let available: [Kernels] = [WEFT_SCALAR, WEFT_NEON, WEFT_AVX2, WEFT_AVX512].compactMap { set in
        weft_kernels_for(set).map { Kernels(table: $0) }
    }

    /// The instruction set's usual name, such as "AVX-512".
    package var name: String { String(cString: table.pointee.name) }
}
