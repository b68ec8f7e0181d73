// A plain chart of horizontal bars as SVG, readable on light and on dark pages.

export interface BarChart {
  title: string
  bars: readonly { label: string; value: number; note: string; isFaint: boolean }[]
}

const WIDTH = 820
const LABELS = 180
/** Room for the note behind the longest bar. */
const NOTES = 270
const ROW = 34
const TOP = 48

export function barChart({ title, bars }: BarChart): string {
  const most = Math.max(...bars.map(({ value }) => value))
  const height = TOP + bars.length * ROW + 8
  const rows = bars.map(({ label, value, note, isFaint }, at) => {
    const y = TOP + at * ROW
    const length = Math.max(1, Math.round(((WIDTH - LABELS - NOTES) * value) / most))
    return [
      `  <text x="${LABELS - 10}" y="${y + 16}" text-anchor="end">${escapeXml(label)}</text>`,
      `  <rect x="${LABELS}" y="${y}" width="${length}" height="22" rx="2"${isFaint ? ' class="faint"' : ''}/>`,
      `  <text x="${LABELS + length + 8}" y="${y + 16}" class="note">${escapeXml(note)}</text>`,
    ].join('\n')
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escapeXml(title)}">
  <style>
    text { font: 14px system-ui, sans-serif; fill: #1f2328 }
    .title { font-weight: 600 }
    .note { fill: #59636e }
    rect { fill: #2f6fde }
    .faint { fill: #9aa7b5 }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .note { fill: #9da7b1 }
      rect { fill: #5b93f5 }
      .faint { fill: #6b7683 }
    }
  </style>
  <text x="0" y="22" class="title">${escapeXml(title)}</text>
${rows.join('\n')}
</svg>
`
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
