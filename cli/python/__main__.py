from scrimp.cli.main import main

main()
