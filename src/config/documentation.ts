// docs/configuration.md, made from the settings table.

import { type SettingName, settingGroups, settingOf } from './settings.ts'

const introduction = `# Configuration

<!-- Made from the settings table by \`npm run docs\`. Changes made here are lost. -->

Vitrine needs no configuration to start. Every setting below can be given, strongest first:

1. as an option of the command line, where a command has one (\`--port 8081\`);
2. in the environment;
3. in a file \`.env\` in the working folder;
4. in a file \`config.yaml\` in the working folder, under its name in lower case
   (\`job_lease: 30s\`), or under the nested key that its row names (\`database.host\`).

The strongest source that mentions a setting counts; an empty value there means the default. Two names
of one setting that disagree in one source are a mistake. A start tells all mistakes at once and ends
with exit code 2; names that no setting has are warned about. \`npm run vitrine -- config\`
shows what took effect and where it came from, without secrets.

| values | are written as |
| --- | --- |
| durations | a whole number and \`ms\`, \`s\`, \`m\`, \`h\` or \`d\`: \`500ms\`, \`30s\`, \`5m\`, \`1h\`, \`7d\` |
| sizes | a whole number and \`B\`, \`KiB\`, \`MiB\` or \`GiB\`: \`64KiB\`, \`25MiB\` |
| booleans | \`true\`, \`yes\`, \`on\`, \`1\`, or \`false\`, \`no\`, \`off\`, \`0\` |
| lists | elements with commas between them: \`80,443,1024-65535\`; in \`config.yaml\` also as lists |
| values with \`#\` in \`.env\` | in quotes, because \`#\` begins a comment: \`DB_PASSWORD="a#b"\` |
`

/** The whole file. */
export function renderConfigurationDoc(): string {
  const groups = settingGroups.map(({ title, names }) =>
    [
      `## ${title}`,
      '',
      '| setting | value | default | meaning |',
      '| --- | --- | --- | --- |',
      ...names.map(row),
      '',
    ].join('\n'),
  )
  return [introduction, ...groups].join('\n')
}

function row(name: SettingName): string {
  const { aliases = [], yaml } = settingOf(name)
  const names = [name, ...aliases, ...(yaml === undefined ? [] : [yaml])].map((key) => `\`${key}\``)
  return `| ${names.join('<br>')} | ${formOf(name)} | ${defaultOf(name)} | ${meaningOf(name)} |`
}

function formOf(name: SettingName): string {
  const { type, unit } = settingOf(name)
  return unit === undefined ? type.name : `${type.name} ${unit}`
}

function defaultOf(name: SettingName): string {
  const setting = settingOf(name)
  return setting.default === undefined ? (setting.derived ?? '') : `\`${setting.default}\``
}

function meaningOf(name: SettingName): string {
  const { description, secret } = settingOf(name)
  return secret === 'whole' ? `${description} Secret: shown nowhere.` : description
}
