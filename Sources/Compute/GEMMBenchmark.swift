import CKernels

/// How fast this machine multiplies matrices with the blocked kernel, next to the plain triple loop it must equal.
package enum GEMMBenchmark {
    /// What one run measured.
    package struct Result: Hashable, Sendable {
        /// The instruction set of the blocked kernel.
        package let instructionSet: String
        package let m, n, k: Int
        /// Floating-point operations a second of the blocked kernel, best of its repetitions.
        package let blockedFlopsPerSecond: Double
        /// The same of the plain Swift loop, over a few rows.
        package let naiveFlopsPerSecond: Double
        /// Whether the rows that both computed have the same bits.
        package let sameBits: Bool
    }

    /// Multiplies an m×k by a k×n matrix `repetitions` times, and `naiveRows` rows of it by the plain loop.
    ///
    /// - Parameter now: seconds of a monotonic clock (this room has none of its own).
    package static func run(
        m: Int = 960, n: Int = 960, k: Int = 1024, repetitions: Int = 10, naiveRows: Int = 16,
        kernels: Kernels = .best, now: () -> Double
    ) -> Result {
        let (a, b, c) = matrices(m: m, n: n, k: k)
        let blocked = fastest(m: m, n: n, k: k, a, b, c, repetitions: repetitions, kernels: kernels, now: now)
        let rows = min(m, max(1, naiveRows))
        let start = now()
        let naive = naiveProduct(rows: rows, n: n, k: k, a, b)
        let naiveSeconds = now() - start
        let same = zip(naive, c.array(0..<rows * n)).allSatisfy { $0.bitPattern == $1.bitPattern }
        return Result(
            instructionSet: kernels.name, m: m, n: n, k: k,
            blockedFlopsPerSecond: operations(m, n, k) / max(blocked, 1e-9),
            naiveFlopsPerSecond: operations(rows, n, k) / max(naiveSeconds, 1e-9),
            sameBits: same)
    }

    /// The machine's speed in floating-point operations a second on the shapes of a transformer's layers, for its
    /// capability entry. Takes about `seconds`.
    package static func flopsPerSecond(seconds: Double = 0.2, kernels: Kernels = .best, now: () -> Double) -> Double {
        let m = 256
        let n = 480
        let k = 256
        let (a, b, c) = matrices(m: m, n: n, k: k)
        let end = now() + seconds
        var best = Double.infinity
        repeat {
            best = min(best, fastest(m: m, n: n, k: k, a, b, c, repetitions: 4, kernels: kernels, now: now))
        } while now() < end
        return operations(m, n, k) / max(best, 1e-9)
    }

    private static func operations(_ m: Int, _ n: Int, _ k: Int) -> Double { 2 * Double(m) * Double(n) * Double(k) }

    private static func matrices(m: Int, n: Int, k: Int) -> (FloatBuffer, FloatBuffer, FloatBuffer) {
        let a = FloatBuffer(count: m * k)
        let b = FloatBuffer(count: k * n)
        weft_fill_normal(a.base, 1, 1, 0, a.count)
        weft_fill_normal(b.base, 2, 1, 0, b.count)
        return (a, b, FloatBuffer(count: m * n))
    }

    private static func fastest(
        m: Int, n: Int, k: Int, _ a: FloatBuffer, _ b: FloatBuffer, _ c: FloatBuffer, repetitions: Int,
        kernels: Kernels, now: () -> Double
    ) -> Double {
        let workspace = FloatBuffer(count: weft_workspace_floats())
        var best = Double.infinity
        for _ in 0..<max(1, repetitions) {
            let start = now()
            kernels.table.pointee.gemm(workspace.base, m, n, k, a.base, k, 0, b.base, n, 0, c.base, n, 0)
            best = min(best, now() - start)
        }
        return best
    }

    /// The definition: every element in plain order over k, one fused multiply-add a term.
    static func naiveProduct(rows: Int, n: Int, k: Int, _ a: FloatBuffer, _ b: FloatBuffer) -> [Float] {
        var c = [Float](repeating: 0, count: rows * n)
        for i in 0..<rows {
            for j in 0..<n {
                var sum: Float = 0
                for p in 0..<k { sum = sum.addingProduct(a.base[i * k + p], b.base[p * n + j]) }
                c[i * n + j] = sum
            }
        }
        return c
    }
}
