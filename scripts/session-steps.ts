// A session in a Markdown page: the commands a reader would type, each with the output shown for it.
// It is what stands between `<!-- session -->` and `<!-- /session -->`: a fenced `sh` block holds a
// command, the next fenced block of another kind before the next `sh` block holds its output.

export interface SessionStep {
  command: string
  /** What the page shows; undefined when it shows nothing. */
  shown: string | undefined
  /** Of the command, in the page. */
  line: number
}

/** Throws when the page has no session, or one without commands. */
export function readSteps(markdown: string): SessionStep[] {
  const steps: SessionStep[] = []
  for (const { language, text, line } of fencedBlocks(markdown)) {
    const last = steps.at(-1)
    if (language === 'sh') steps.push({ command: text, shown: undefined, line })
    else if (last && last.shown === undefined) last.shown = text
  }
  if (steps.length === 0) throw new Error('the page has no session between its session marks')
  return steps
}

interface Block {
  language: string
  text: string
  line: number
}

function fencedBlocks(markdown: string): Block[] {
  const blocks: Block[] = []
  let inSession = false
  let open: (Block & { lines: string[] }) | undefined
  for (const [index, text] of markdown.split('\n').entries()) {
    const fence = /^```(\w*)\s*$/.exec(text)
    if (open && fence) {
      blocks.push({ language: open.language, text: open.lines.join('\n'), line: open.line })
      open = undefined
    } else if (open) open.lines.push(text)
    else if (text.trim() === '<!-- session -->') inSession = true
    else if (text.trim() === '<!-- /session -->') inSession = false
    else if (fence && inSession)
      open = { language: fence[1] ?? '', text: '', line: index + 2, lines: [] }
  }
  return blocks
}
