import Control
import Foundation
import Primitives
import Runtime
import Testing

/// Tables, pictures and curves: every figure is in them, and nothing from outside breaks them.
@Suite struct RenderingTests {
    private func peer(_ number: UInt8) throws -> PeerID {
        try #require(PeerID(bytes: [number] + [UInt8](repeating: 0, count: 31)))
    }

    private func graph(_ count: UInt8) throws -> GraphView {
        var links: [GraphView.Link] = []
        for from in 0..<count {
            for to in 0..<count where to != from {
                let measured = (from + to) % 3 != 0
                links.append(
                    GraphView.Link(
                        from: try peer(from), to: try peer(to), roundTripSeconds: 0.001 * Double(1 + from + to),
                        roundTripSource: .measured, lossFraction: 0.01,
                        bandwidthBytesPerSecond: 1e6 * Double(1 + Int(from) * 10 + Int(to)),
                        bandwidthSource: measured ? .measured : .predicted, disagrees: from == 1 && to == 3))
            }
        }
        return GraphView(
            digest: "abcdefghijklmnop",
            peers: try (0..<count).map {
                GraphView.Peer(
                    peer: try peer($0), name: $0 == 0 ? "a<&\"b" : "peer\($0)", flopsPerSecond: 1e9 * Double($0 + 1),
                    memoryBytes: 1 << 33, cores: 2, onBattery: $0 == 2)
            }, links: links)
    }

    @Test func columnsLineUpWithAndWithoutColour() {
        var table = TextTable([("name", .left), ("rate", .right)])
        table.add([.init("a", .good), "5"])
        table.add(["longer"])
        #expect(table.lines(colour: false) == ["name    rate", "a          5", "longer"])
        #expect(table.lines(colour: true)[1] == "\u{1B}[32ma\u{1B}[0m          5")
    }

    @Test func matrixTellsMeasuredFromPredicted() throws {
        let lines = GraphText(try graph(4)).lines(colour: false)
        #expect(lines.count == 7)
        #expect(lines[0].contains("peer3"))
        #expect(lines[2].hasPrefix("peer1"))
        #expect(lines[1].contains("16M 2.00ms"), "\(lines[1])")
        #expect(lines[1].contains("~32M 4.00ms"), "\(lines[1])")
        #expect(lines[2].contains("!112M 5.00ms"), "\(lines[2])")
        #expect(lines.last?.contains("8 of 12 directed links measured") == true, "\(lines.last ?? "")")
    }

    @Test func manyPeersBecomeAList() throws {
        let lines = GraphText(try graph(12)).lines(colour: false)
        #expect(lines.count == 1 + 12 * 11 + 2)
        #expect(lines[1].contains("measured") || lines[1].contains("predicted"))
    }

    @Test(arguments: [0, 1, 2, 8, 16] as [UInt8]) func pictureIsWellFormed(_ count: UInt8) throws {
        let text = GraphSVG.text(try graph(count), title: "<swarm> & \"graph\"")
        try expectWellFormed(text)
        #expect(text.components(separatedBy: "<circle").count - 1 == Int(count))
        #expect(text.components(separatedBy: "<path").count - 1 == Int(count) * max(0, Int(count) - 1))
        #expect(!text.contains("nan") && !text.contains("inf"))
        if count == 8 { #expect(text.contains("stroke-dasharray") && text.contains("a&lt;&amp;&quot;b")) }
    }

    private func expectWellFormed(_ text: String) throws {
        // Tags balance and every attribute is closed: enough of XML for what the canvas writes.
        var open: [Substring] = []
        for piece in text.split(separator: "<").dropFirst() {
            guard let end = piece.firstIndex(of: ">") else {
                Issue.record("an unclosed tag: \(piece)")
                return
            }
            let tag = piece[..<end]
            #expect(tag.count { $0 == "\"" }.isMultiple(of: 2), "\(tag)")
            if tag.hasPrefix("?") || tag.hasSuffix("/") { continue }
            let name = tag.prefix { $0.isLetter || $0 == "/" }
            if name.hasPrefix("/") { #expect(open.popLast() == name.dropFirst(), "\(tag)") } else { open.append(name) }
        }
        #expect(open.isEmpty, "\(open)")
    }

    @Test func nearPeersLieNear() throws {
        // Two sites of two peers, 1 ms inside and 100 ms between them.
        var graph = try graph(4)
        for index in graph.links.indices {
            let near = [try peer(0).description, try peer(1).description]
            let same = near.contains(graph.links[index].from) == near.contains(graph.links[index].to)
            graph.links[index].roundTripSeconds = same ? 0.001 : 0.1
        }
        let text = GraphSVG.text(graph)
        let centres = text.components(separatedBy: "<circle cx=\"").dropFirst().map { part -> (Double, Double) in
            let pieces = part.components(separatedBy: "\"")
            return (Double(pieces[0]) ?? 0, Double(pieces[2]) ?? 0)
        }
        func distance(_ a: Int, _ b: Int) -> Double {
            let (dx, dy) = (centres[a].0 - centres[b].0, centres[a].1 - centres[b].1)
            return (dx * dx + dy * dy).squareRoot()
        }
        #expect(distance(0, 1) * 1.8 < distance(0, 2), "\(centres)")
        #expect(distance(2, 3) * 1.8 < distance(1, 3), "\(centres)")
    }

    @Test func graphvizTextNamesEveryPeerAndLink() throws {
        let text = GraphDOT.text(try graph(3))
        #expect(text.hasPrefix("digraph weft {") && text.hasSuffix("}\n"))
        #expect(text.components(separatedBy: " -> ").count - 1 == 6)
        #expect(text.contains("a<&\\\"b"))
    }

    private func step(_ number: Int, loss: Float) -> TrainEvent {
        .step(
            .init(
                step: number, steps: 10, loss: loss, learningRate: 0.5, tokensPerSecond: 100, iterationSeconds: 0.25,
                predictedIterationSeconds: number == 1 ? nil : 0.2))
    }

    @Test func curveIsWrittenRowByRow() throws {
        var curve = LossCurve()
        curve.add(.validation(.init(step: 0, loss: 5.5, unigramLoss: 3.25)))
        for number in 1...3 { curve.add(step(number, loss: 5 - Float(number))) }
        curve.add(.validation(.init(step: 3, loss: 2.125, unigramLoss: 3.25)))
        curve.add(.notice(.init(message: "resumed")))
        curve.add(step(3, loss: 2.5))
        #expect(
            curve.csv == """
                step,loss,loss_bits,learning_rate,tokens_per_second,iteration_seconds,predicted_iteration_seconds,validation_loss
                0,,,,,,,5.5
                1,4.0,40800000,0.5,100.0,0.25,,
                2,3.0,40400000,0.5,100.0,0.25,0.2,
                3,2.5,40200000,0.5,100.0,0.25,0.2,2.125

                """)
        let picture = curve.svg(title: "a & b")
        try expectWellFormed(picture)
        #expect(picture.contains("byte unigrams") && picture.contains("validation") && picture.contains("a &amp; b"))
        try expectWellFormed(LossCurve().svg(title: "nothing"))
    }

    @Test func timesAndBarsReadWell() {
        #expect(HumanText.duration(seconds: 3.25) == "3.3 s" || HumanText.duration(seconds: 3.25) == "3.2 s")
        #expect(HumanText.duration(seconds: 200) == "3 min 20 s")
        #expect(HumanText.duration(seconds: 3900) == "1 h 5 min")
        #expect(HumanText.duration(seconds: 90_000) == "1 d 1 h")
        #expect(HumanText.duration(seconds: .nan) == "?")
        #expect(HumanText.decimal(-0.004, digits: 2) == "0.00")
        #expect(HumanText.decimal(12.345, digits: 1) == "12.3")
        #expect(HumanText.bar(fraction: 0.5, width: 4) == "██░░")
        #expect(HumanText.bar(fraction: .nan, width: 2) == "░░" && HumanText.bar(fraction: 7, width: 2) == "██")
    }
}
