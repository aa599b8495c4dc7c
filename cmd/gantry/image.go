package main

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

func newImage() *cobra.Command {
	return newGroup("image", "Images for tasks, without a registry", newImageLoad(), newImageLs(), newImageRm())
}

func newImageLoad() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "load FILE",
		Short: "Load images from an OCI or docker save archive; - reads standard input",
		Long: `Load images from an OCI or docker save archive, which may be compressed by gzip; - reads
standard input. The server keeps the archive, and machines that have joined it fetch it
when a task needs it.`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := findClient(cmd, dir)
			if err != nil {
				return err
			}
			file, err := openArchive(cmd.Context(), args[0], cmd.InOrStdin())
			if err != nil {
				return err
			}
			defer file.Close()
			body, err := c.command(cmd.Context(), http.MethodPost, "/images", nil, file)
			if err != nil {
				return err
			}
			defer body.Close()
			var images []image
			if err := json.NewDecoder(body).Decode(&images); err != nil {
				return err
			}
			for _, i := range images {
				fmt.Fprintln(cmd.OutOrStdout(), "loaded", i.Name)
			}
			return nil
		},
	}
	addDataDir(cmd, &dir)
	return cmd
}

func newImageLs() *cobra.Command {
	return newLs("List the images on this machine", "/images", "IMAGE\tDIGEST\tSIZE", func(i image) string {
		return fmt.Sprintf("%s\t%.19s\t%.1f MiB", i.Name, i.Digest, float64(i.Size)/(1<<20))
	})
}

func newImageRm() *cobra.Command {
	return newRemoval("rm IMAGE", "Forget an image that was loaded; machines that have fetched it keep it until nobody uses it", "/images", "name",
		func(name string, _ struct{}) string { return "removed " + name })
}
