import CKernels
import Primitives
import Testing

/// One instruction set of this machine, by its table.
struct KernelSet: CustomTestStringConvertible, @unchecked Sendable {
    let table: weft_kernels
    var testDescription: String { String(cString: table.name) }

    static let all: [KernelSet] = [WEFT_SCALAR, WEFT_NEON, WEFT_AVX2, WEFT_AVX512].compactMap { set in
        weft_kernels_for(set).map { KernelSet(table: $0.pointee) }
    }
}

/// Numbers with several magnitudes and both signs.
func numbers(_ count: Int, _ random: inout SeededGenerator, scale: Float = 1) -> [Float] {
    (0..<count).map { _ in
        let magnitude = Float(random.unit()) * Float(sign: .plus, exponent: random.index(below: 6) - 4, significand: 1)
        return (random.next() & 1 == 0 ? magnitude : -magnitude) * scale
    }
}

func bits(_ values: [Float]) -> [UInt32] { values.map(\.bitPattern) }

@Suite("Each kernel has the bits of its naive twin", .serialized)
struct KernelTests {
    @Test("gemm, all transpositions and strides", arguments: KernelSet.all)
    func gemm(set: KernelSet) {
        var workspace = [Float](repeating: .nan, count: weft_workspace_floats())
        // Around the tile edges of every set (4x16, 6x16, 8x12, 8x48) and the block edges (k 256, n 480 and 528).
        let shapes = [
            (1, 1, 1), (1, 50, 3), (3, 2, 0), (4, 16, 5), (5, 17, 9), (6, 16, 31), (7, 47, 8), (8, 48, 257), (9, 49, 2),
            (13, 33, 40), (2, 530, 3), (131, 3, 7), (17, 97, 12), (24, 64, 16), (2, 3, 600),
        ]
        for (index, (m, n, k)) in shapes.enumerated() {
            for variant in 0..<8 {
                let (ta, tb, accumulate) = (variant & 1, variant >> 1 & 1, variant >> 2)
                var random = SeededGenerator(seed: UInt64(100 * index + variant))
                let lda = (ta == 1 ? m : k) + random.index(below: 3)
                let ldb = (tb == 1 ? k : n) + random.index(below: 3)
                let ldc = n + random.index(below: 3)
                let a = numbers(max(1, (ta == 1 ? k : m) * lda), &random)
                let b = numbers(max(1, (tb == 1 ? n : k) * ldb), &random)
                let before = numbers(m * ldc, &random)
                var c = before
                set.table.gemm(&workspace, m, n, k, a, lda, Int32(ta), b, ldb, Int32(tb), &c, ldc, Int32(accumulate))
                let naive = Naive.gemm(
                    m, n, k, { ta == 1 ? a[$1 * lda + $0] : a[$0 * lda + $1] },
                    { tb == 1 ? b[$1 * ldb + $0] : b[$0 * ldb + $1] },
                    start: { accumulate == 1 ? before[$0 * ldc + $1] : 0 })
                var expected = before
                for i in 0..<m { for j in 0..<n { expected[i * ldc + j] = naive[i * n + j] } }
                #expect(bits(c) == bits(expected), "\(m)x\(n)x\(k), transposed \(ta) \(tb), accumulate \(accumulate)")
            }
        }
    }

    @Test("exp and log", arguments: KernelSet.all)
    func elementary(set: KernelSet) {
        var random = SeededGenerator(seed: 1)
        var x: [Float] = [
            0, -0.0, 1, -87, -87.00001, -200, 88.3, 88.4, 1000, 0x1p-126, 0x1p-149, .infinity, -.infinity,
        ]
        x += (0..<3000).map { _ in Float(random.unit() * 180 - 90) }
        var y = x
        set.table.exp(&y, x, x.count)
        #expect(bits(y) == bits(x.map(Naive.exp)))
        let positive = (0..<3000).map { _ in
            Float(sign: .plus, exponent: random.index(below: 250) - 125, significand: 1 + Float(random.unit()))
        }
        var logs = positive
        set.table.log(&logs, positive, positive.count)
        #expect(bits(logs) == bits(positive.map(Naive.log)))
        // And they are the functions they claim to be.
        for (value, result) in zip(x, y) where abs(value) < 87 {
            #expect(abs(Double(result) / Elementary.exp(Double(value)) - 1) < 2e-7, "exp(\(value)) gave \(result)")
        }
        for (value, result) in zip(positive, logs) {
            let truth = Elementary.log(Double(value))
            #expect(abs(Double(result) - truth) <= 2e-7 * max(0.5, abs(truth)), "log(\(value)) gave \(result)")
        }
        var nan: [Float] = [.nan]
        set.table.exp(&nan, [.nan], 1)
        #expect(nan[0].isNaN, "a NaN must not turn into a number")
    }

    @Test("layer norm, forward and backward", arguments: KernelSet.all)
    func layerNorm(set: KernelSet) {
        for (seed, width) in [1, 5, 16, 31, 48, 130].enumerated() {
            var random = SeededGenerator(seed: UInt64(seed))
            let rows = 3
            let x = numbers(rows * width, &random, scale: 4)
            let gain = numbers(width, &random)
            let bias = numbers(width, &random)
            let dout = numbers(rows * width, &random)
            var (out, mean, rstd) = (x, [Float](repeating: 0, count: rows), [Float](repeating: 0, count: rows))
            set.table.layer_norm(&out, &mean, &rstd, x, gain, bias, rows, width)
            var dx = numbers(rows * width, &random)
            var dgain = numbers(width, &random)
            var dbias = numbers(width, &random)
            var (expectedDX, expectedGain, expectedBias) = (dx, dgain, dbias)
            set.table.layer_norm_backward(&dx, &dgain, &dbias, dout, x, mean, rstd, gain, rows, width)
            for row in 0..<rows {
                let range = row * width..<(row + 1) * width
                let twin = Naive.layerNorm(Array(x[range]), gain: gain, bias: bias)
                #expect(bits(Array(out[range])) == bits(twin.out), "width \(width)")
                #expect(mean[row].bitPattern == twin.mean.bitPattern)
                #expect(rstd[row].bitPattern == twin.rstd.bitPattern)
                var rowDX = Array(expectedDX[range])
                Naive.layerNormBackward(
                    dx: &rowDX, dgain: &expectedGain, dbias: &expectedBias, dout: Array(dout[range]),
                    x: Array(x[range]), mean: mean[row], rstd: rstd[row], gain: gain)
                expectedDX.replaceSubrange(range, with: rowDX)
            }
            #expect(bits(dx) == bits(expectedDX), "dx at width \(width)")
            #expect(bits(dgain) == bits(expectedGain), "dgain at width \(width)")
            #expect(bits(dbias) == bits(expectedBias), "dbias at width \(width)")
        }
    }

    @Test("GELU, softmax, sums and starts", arguments: KernelSet.all)
    func elementwise(set: KernelSet) {
        for (seed, count) in [1, 7, 16, 17, 64, 200].enumerated() {
            var random = SeededGenerator(seed: UInt64(50 + seed))
            let x = numbers(count, &random, scale: 8)
            let y = numbers(count, &random)
            var out = x
            set.table.gelu(&out, x, count)
            #expect(bits(out) == bits(x.map(Naive.gelu)), "gelu of \(count)")
            out = y
            set.table.gelu_backward(&out, y, x, count)
            #expect(bits(out) == bits(zip(y, x).map { $0 * Naive.geluDerivative($1) }), "gelu backward of \(count)")
            out = x
            set.table.softmax(&out, count, 0.7)
            #expect(bits(out) == bits(Naive.softmax(x, scale: 0.7)), "softmax of \(count)")
            #expect(set.table.sum(x, count).bitPattern == Naive.sum(x).bitPattern, "sum of \(count)")
            out = x
            set.table.add(&out, y, count)
            #expect(bits(out) == bits(zip(x, y).map { $0 + $1 }))
            let tall = x + y + x
            var sums = y
            set.table.column_sums(&sums, tall, 3, count)
            #expect(bits(sums) == bits(y.indices.map { y[$0] + x[$0] + y[$0] + x[$0] }), "column sums of \(count)")
            var started = tall
            set.table.rows_start(&started, tall, y, 3, count)
            #expect(bits(started) == bits(tall.indices.map { tall[$0] + y[$0 % count] }))
            set.table.rows_start(&started, nil, y, 3, count)
            #expect(bits(started) == bits(y + y + y))
        }
    }

    @Test("cross entropy", arguments: KernelSet.all)
    func crossEntropy(set: KernelSet) {
        for (seed, vocabulary) in [2, 16, 29, 256].enumerated() {
            var random = SeededGenerator(seed: UInt64(70 + seed))
            let rows = 4
            let logits = numbers(rows * vocabulary, &random, scale: 9)
            let targets = (0..<rows).map { _ in Int32(random.index(below: vocabulary)) }
            var losses = [Float](repeating: 0, count: rows)
            var gradient = logits
            // In place, as the engine uses it.
            gradient.withUnsafeMutableBufferPointer { buffer in
                guard let start = buffer.baseAddress else { return }
                set.table.cross_entropy(&losses, start, start, targets, rows, vocabulary, 0.25)
            }
            for row in 0..<rows {
                let range = row * vocabulary..<(row + 1) * vocabulary
                let twin = Naive.crossEntropy(Array(logits[range]), target: Int(targets[row]), scale: 0.25)
                #expect(losses[row].bitPattern == twin.loss.bitPattern, "loss, vocabulary \(vocabulary)")
                #expect(bits(Array(gradient[range])) == bits(twin.gradient), "gradient, vocabulary \(vocabulary)")
            }
        }
    }

    @Test("attention, forward and backward", arguments: KernelSet.all)
    func attention(set: KernelSet) {
        for (seed, (batch, time, heads, head)) in [(1, 1, 1, 4), (2, 5, 2, 3), (1, 19, 3, 8), (2, 33, 1, 16)]
            .enumerated()
        {
            var random = SeededGenerator(seed: UInt64(90 + seed))
            var workspace = [Float](repeating: .nan, count: weft_workspace_floats())
            let width = heads * head
            let qkv = numbers(batch * time * 3 * width, &random, scale: 3)
            let dout = numbers(batch * time * width, &random)
            var out = dout
            var probabilities = [Float](repeating: .nan, count: batch * heads * time * time)
            set.table.attention(&workspace, &out, &probabilities, qkv, batch, time, heads, width)
            var dqkv = [Float](repeating: .nan, count: qkv.count)
            var scratch = [Float](repeating: .nan, count: time * time)
            set.table.attention_backward(
                &workspace, &scratch, &dqkv, dout, probabilities, qkv, batch, time, heads, width)
            func rows(_ flat: [Float], _ b: Int, _ offset: Int, stride: Int) -> [[Float]] {
                (0..<time).map { t in
                    Array(flat[(b * time + t) * stride + offset..<(b * time + t) * stride + offset + head])
                }
            }
            func flat(_ rows: [[Float]]) -> [UInt32] { bits(rows.flatMap { $0 }) }
            for b in 0..<batch {
                for h in 0..<heads {
                    let parts = (0..<3).map { rows(qkv, b, $0 * width + h * head, stride: 3 * width) }
                    let twin = Naive.attention(q: parts[0], k: parts[1], v: parts[2])
                    #expect(flat(rows(out, b, h * head, stride: width)) == flat(twin.out), "out, \(time) tokens")
                    let p = Array(probabilities[(b * heads + h) * time * time..<(b * heads + h + 1) * time * time])
                    #expect(bits(p) == flat(twin.probabilities), "probabilities, \(time) tokens")
                    let back = Naive.attentionBackward(
                        dout: rows(dout, b, h * head, stride: width), probabilities: twin.probabilities, q: parts[0],
                        k: parts[1], v: parts[2])
                    for (index, gradient) in [back.dq, back.dk, back.dv].enumerated() {
                        let actual = rows(dqkv, b, index * width + h * head, stride: 3 * width)
                        #expect(flat(actual) == flat(gradient), "gradient \(index) of q, k, v, \(time) tokens")
                    }
                }
            }
        }
    }

    @Test("AdamW", arguments: KernelSet.all)
    func adamw(set: KernelSet) {
        var random = SeededGenerator(seed: 3)
        let count = 37
        let (w, m, g) = (numbers(count, &random), numbers(count, &random), numbers(count, &random))
        let v = numbers(count, &random).map { abs($0) }
        var step = weft_adamw_step(
            gradient_scale: 0.25, beta1: 0.9, one_minus_beta1: 0.1, beta2: 0.95, one_minus_beta2: 0.05,
            step_size: 0.003, root_bias_correction: 0.6, epsilon: 1e-8, decay: 0.999)
        var (newW, newM, newV) = (w, m, v)
        set.table.adamw(&newW, &newM, &newV, g, count, &step)
        for i in 0..<count {
            let scaled = g[i] * 0.25
            let first = (0.1 * scaled).addingProduct(0.9, m[i])
            let second = (0.05 * (scaled * scaled)).addingProduct(0.95, v[i])
            let divided = first / (second.squareRoot() / 0.6 + 1e-8)
            #expect(newM[i].bitPattern == first.bitPattern)
            #expect(newV[i].bitPattern == second.bitPattern)
            #expect(newW[i].bitPattern == (w[i] * 0.999).addingProduct(-0.003, divided).bitPattern)
        }
    }

    @Test("counter-based normal numbers")
    func normal() {
        var values = [Float](repeating: 0, count: 20_000)
        weft_fill_normal(&values, 42, 0.5, 0, values.count)
        for index in stride(from: 0, to: values.count, by: 997) {
            #expect(values[index].bitPattern == Naive.normal(key: 42, deviation: 0.5, index: index).bitPattern)
        }
        var part = [Float](repeating: 0, count: 10)
        weft_fill_normal(&part, 42, 0.5, 1234, part.count)
        #expect(part == Array(values[1234..<1244]), "a number depends on where the filling started")
        let mean = values.reduce(0, +) / 20_000
        let variance = values.reduce(0) { $0 + $1 * $1 } / 20_000
        #expect(abs(mean) < 0.02, "mean \(mean)")
        #expect(abs(variance - 0.25) < 0.01, "variance \(variance)")
    }
}
