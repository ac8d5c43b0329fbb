transmla compare sample ./sample-mla --max-tokens 1000 --json > loss.json
node -e 'const { meanKl, topAgreement } = JSON.parse(fs.readFileSync("loss.json")); console.log({ meanKl, topAgreement })'
