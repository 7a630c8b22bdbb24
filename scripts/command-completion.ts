// Completion of the command line in bash and zsh, from the tables of the commands. Text in, text out.

import { ROOT } from "../proxy/commands.ts";
import type { CommandSpec, OperandSpec, OptionSpec, OptionSpecs } from "../proxy/tools/command-line/spec.ts";
import { lastWord, type TopCommand } from "./command-list.ts";

const HEADING = '# completion of azure-proxy-agent; made by "bun run commands" from the tables of its commands';
/** Values and operands that name a file; one that names a folder is of its own kind. */
const FILES = /FILE|RULES|CASES|OLD|NEW|CORE|WHO/;
const OWN_WORDS = ["help", "version"];
const OWN_OPTIONS = ["--help", "--version"];

type Completed = { readonly kind: "words"; readonly words: readonly string[] } | { readonly kind: "files" | "folders" | "nothing" };

function completedValue(option: OptionSpec): Completed {
  if (option.kind === "flag") return { kind: "nothing" };
  if (option.kind === "word" || option.kind === "words") return { kind: "words", words: option.words };
  return placeholder(option.value);
}

function completedOperand(operand: OperandSpec): Completed {
  return operand.words === undefined ? placeholder(operand.name) : { kind: "words", words: operand.words };
}

function placeholder(name: string): Completed {
  if (name === "FOLDER") return { kind: "folders" };
  return FILES.test(name) && name !== "NAME" ? { kind: "files" } : { kind: "nothing" };
}

function optionWords(options: OptionSpecs): readonly string[] {
  return [
    ...Object.entries(options).flatMap(([name, { short }]) => [`--${name}`, ...(short === undefined ? [] : [`-${short}`])]),
    "--help",
  ];
}

export function renderBashCompletion(commands: readonly TopCommand[]): string {
  const groups = commands.filter(({ isGroup }) => isGroup);
  const specs = commands.flatMap((command) => command.specs);
  const words = (list: readonly string[]) => list.join(" ");
  const cases = (spec: CommandSpec): readonly string[] => {
    const values = Object.entries(spec.options).flatMap(([name, option]) => {
      if (option.kind === "flag") return [];
      const names = [`--${name}`, ...(option.short === undefined ? [] : [`-${option.short}`])];
      return [`\t\t${names.map((each) => `"${spec.name}:${each}"`).join(" | ")}) ${bashReply(completedValue(option))} ;;`];
    });
    return values;
  };
  const operands = specs.flatMap((spec) => {
    const [first] = spec.operands;
    return first === undefined ? [] : [`\t\t"${spec.name}") ${bashReply(completedOperand(first))} ;;`];
  });
  return `${HEADING}
# shellcheck shell=bash
_azure_proxy_agent() {
	local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} command=\${COMP_WORDS[1]} at=2
	COMPREPLY=()
	# Readline splits "--option=value" at "=".
	if [ "$cur" = "=" ]; then
		cur=
	elif [ "$prev" = "=" ]; then
		prev=\${COMP_WORDS[COMP_CWORD - 2]}
	fi
	if [ "$command" = help ]; then
		COMP_WORDS=("\${COMP_WORDS[0]}" "\${COMP_WORDS[@]:2}")
		((COMP_CWORD -= 1))
		command=\${COMP_WORDS[1]}
		case $command in
${groups.map(({ word, specs: own }) => `\t\t${word}) [ "$COMP_CWORD" -eq 2 ] && mapfile -t COMPREPLY < <(compgen -W "${words(own.map(lastWord))}" -- "$cur") ;;`).join("\n")}
		*) [ "$COMP_CWORD" -eq 1 ] && mapfile -t COMPREPLY < <(compgen -W "${words(commands.map(({ word }) => word))}" -- "$cur") ;;
		esac
		return
	fi
	case $command in
${groups.map(({ word }) => word).join(" | ")})
		if [ "$COMP_CWORD" -eq 2 ]; then
			case $command in
${groups.map(({ word, specs: own }) => `\t\t\t${word}) mapfile -t COMPREPLY < <(compgen -W "${words([...own.map(lastWord), "--help"])}" -- "$cur") ;;`).join("\n")}
			esac
			return
		fi
		command="$command \${COMP_WORDS[2]}"
		at=3
		;;
	-*) command= at=1 ;;
	esac
	if [ "$COMP_CWORD" -eq 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "${words([...commands.map(({ word }) => word), ...OWN_WORDS, ...optionWords(ROOT.options), "--version"])}" -- "$cur")
		return
	fi
	case "$command:$prev" in
${[...specs, ROOT].flatMap(cases).join("\n")}
	*)
		case "$command:$cur" in
${specs.map((spec) => `\t\t"${spec.name}:-"*) mapfile -t COMPREPLY < <(compgen -W "${words(optionWords(spec.options))}" -- "$cur") ;;`).join("\n")}
		":"*) mapfile -t COMPREPLY < <(compgen -W "${words([...optionWords(ROOT.options), "--version"])}" -- "$cur") ;;
		*)
			[ "$COMP_CWORD" -ge "$at" ] || return
			case $command in
${operands.map((line) => `\t${line}`).join("\n")}
			esac
			;;
		esac
		;;
	esac
}
complete -F _azure_proxy_agent azure-proxy-agent
`;
}

/** Commands that fill COMPREPLY. */
function bashReply(completed: Completed): string {
  switch (completed.kind) {
    case "words":
      return `mapfile -t COMPREPLY < <(compgen -W "${completed.words.join(" ")}" -- "$cur")`;
    case "files":
      return 'compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur")';
    case "folders":
      return 'compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$cur")';
    case "nothing":
      return ":";
  }
}

export function renderZshCompletion(commands: readonly TopCommand[]): string {
  const described = (list: readonly (readonly [string, string])[], indent: string) =>
    list.map(([word, does]) => `${indent}${zshQuote(`${word}:${does}`)}`).join("\n");
  const top = [
    ...commands.map(({ word, does }) => [word, does] as const),
    ["help", "all about a command"] as const,
    ["version", "print the version"] as const,
  ];
  const argumentsOf = (spec: CommandSpec, indent: string) =>
    [...zshOptions(spec.options), ...zshOperands(spec.operands)].map((each) => ` \\\n${indent}${zshQuote(each)}`).join("");
  const group = ({ word, specs }: TopCommand) => `	${word})
		shift words
		((CURRENT--))
		if ((CURRENT == 2)); then
			list=(
${described(
  specs.map((spec) => [lastWord(spec), spec.does]),
  "				",
)}
			)
			_describe -t commands ${zshQuote(`${word} command`)} list
			return
		fi
		shift words
		((CURRENT--))
		case $words[1] in
${specs.map((spec) => `		${lastWord(spec)}) _arguments -s -S${argumentsOf(spec, "\t\t\t")} ;;`).join("\n")}
		esac
		;;`;
  const one = ({ word, specs: [spec] }: TopCommand) => `	${word})
		shift words
		((CURRENT--))
		_arguments -s -S${spec === undefined ? "" : argumentsOf(spec, "\t\t\t")}
		;;`;
  return `#compdef azure-proxy-agent
${HEADING}
_azure_proxy_agent() {
	local -a list
	if ((CURRENT > 2)) && [[ $words[2] == help ]]; then
		shift words
		((CURRENT--))
	fi
	if ((CURRENT == 2)) && [[ $words[2] != -* ]]; then
		list=(
${described(top, "			")}
		)
		_describe -t commands 'command' list
		return
	fi
	case $words[2] in
	-*) _arguments -s -S${[...zshOptions(ROOT.options), ...OWN_OPTIONS.slice(1).map((option) => `${option}[print the version]`)].map((each) => ` \\\n\t\t${zshQuote(each)}`).join("")} ;;
${commands.map((command) => (command.isGroup ? group(command) : one(command))).join("\n")}
	esac
}
_azure_proxy_agent "$@"
`;
}

function zshOptions(options: OptionSpecs): readonly string[] {
  const all = Object.entries(options).flatMap(([name, option]) => {
    const does = `[${option.does.replaceAll(/[[\]\\]/g, "\\$&")}]`;
    const value = option.kind === "flag" ? "" : `:${option.value.replaceAll(/[:\\]/g, "\\$&")}:${zshAction(completedValue(option))}`;
    const many = option.kind === "list" ? "*" : "";
    const long = `${many}--${name}${option.kind === "flag" ? "" : "="}${does}${value}`;
    return option.short === undefined ? [long] : [long, `${many}-${option.short}${option.kind === "flag" ? "" : "+"}${does}${value}`];
  });
  return [...all, "--help[all about it]"];
}

function zshOperands(operands: readonly OperandSpec[]): readonly string[] {
  return operands.map((operand, i) => {
    const place = (operand.most ?? 1) > 1 ? "*" : `${i + 1}`;
    return `${place}:${operand.optional === true ? ":" : ""}${operand.name.replaceAll(/[:\\]/g, "\\$&")}:${zshAction(completedOperand(operand))}`;
  });
}

function zshAction(completed: Completed): string {
  switch (completed.kind) {
    case "words":
      return `(${completed.words.join(" ")})`;
    case "files":
      return "_files";
    case "folders":
      return "_files -/";
    case "nothing":
      return " ";
  }
}

function zshQuote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
